//! The stack as a tree, with the plain leg marked.

use std::collections::BTreeSet;

use atrest_proto::model::{Layer, PathPosture};

use super::text::{Paint, Style, WIDTH, harmless};

/// Appends the tree of a path's stack, each line indented by `indent`.
pub(super) fn draw(path: &PathPosture, indent: &str, style: Style, out: &mut String) {
    let plain = path.plain.iter().map(|leg| leg.device.as_str()).collect();
    let encrypting = path.encrypted_by.iter().map(|by| by.device.as_str()).collect();
    let tree = Tree { plain, encrypting, style };
    let (memory, rest): (Vec<&Layer>, Vec<&Layer>) =
        path.stack.iter().partition(|root| is_memory(root));
    // A path that is nothing but memory says so itself; beside others memory is one line.
    let shown = if rest.is_empty() { &memory } else { &rest };
    for root in shown {
        out.push_str(indent);
        tree.line(root, false, out);
        tree.children(root, indent, false, out);
    }
    if !rest.is_empty() && !memory.is_empty() {
        let word = if memory.len() == 1 { "mount" } else { "mounts" };
        let line = format!("and {} {word} in memory", memory.len());
        out.push_str(&format!("{indent}{}\n", style.paint(Paint::Dim, &line)));
    }
}

fn is_memory(root: &Layer) -> bool {
    !root.children.is_empty() && root.children.iter().all(|child| child.kind == "memory")
}

struct Tree<'a> {
    plain: BTreeSet<&'a str>,
    encrypting: BTreeSet<&'a str>,
    style: Style,
}

impl Tree<'_> {
    fn children(&self, layer: &Layer, indent: &str, covered: bool, out: &mut String) {
        // Only a device that is nothing but crypt covers all that is below it.
        let covered =
            covered || (layer.kind == "dm-crypt" && self.encrypting.contains(layer.name.as_str()));
        for (index, child) in layer.children.iter().enumerate() {
            let last = index + 1 == layer.children.len();
            out.push_str(indent);
            out.push_str(if last { "└─ " } else { "├─ " });
            self.line(child, covered, out);
            let indent = format!("{indent}{}", if last { "   " } else { "│  " });
            self.children(child, &indent, covered, out);
        }
    }

    /// One layer. Its facts give way where the line would be too wide, so that the marks stay in sight.
    fn line(&self, layer: &Layer, covered: bool, out: &mut String) {
        let mut facts = vec![layer.kind.clone()];
        for (name, value) in &layer.detail {
            facts.push(match name.as_str() {
                "fstype" | "cipher" => value.clone(),
                "key_bits" => format!("{value}-bit key"),
                _ => format!("{name} {value}"),
            });
        }
        let mut marks = Vec::new();
        if layer.repeated_above {
            marks.push((None, "(see above)"));
        }
        // A mount encrypts only where its own file system does.
        if self.encrypting.contains(layer.name.as_str()) {
            marks.push((Some(Paint::Good), "encrypts"));
        }
        if self.plain.contains(layer.name.as_str()) && !covered {
            marks.push((Some(Paint::Bad), "<-- PLAINTEXT"));
        }
        let begun = out.rsplit('\n').next().unwrap_or_default().chars().count();
        let taken = marks.iter().map(|(_, mark)| mark.len() + 2).sum::<usize>()
            + begun
            + layer.name.chars().count()
            + 2;
        out.push_str(&harmless(&layer.name));
        out.push_str("  ");
        out.push_str(
            &self.style.paint(Paint::Dim, &cut(&harmless(&facts.join(", ")), WIDTH, taken)),
        );
        for (paint, mark) in marks {
            let mark = paint.map_or_else(|| mark.to_owned(), |paint| self.style.paint(paint, mark));
            out.push_str(&format!("  {mark}"));
        }
        out.push('\n');
    }
}

/// As much of a text as fits into what is left of a line, and at least its first word: the kind of the layer.
fn cut(text: &str, width: usize, taken: usize) -> String {
    let least = text.split(", ").next().unwrap_or_default().chars().count();
    let room = width.saturating_sub(taken).max(least);
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1).max(least)).collect();
    format!("{}…", kept.trim_end_matches([',', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_give_way_and_the_kind_stays() {
        assert_eq!(cut("dm-crypt, aes", 80, 60), "dm-crypt, aes");
        assert_eq!(cut("dm-crypt, aes-xts-plain64", 30, 15), "dm-crypt, aes-…");
        assert_eq!(cut("dm-crypt, aes-xts-plain64", 30, 40), "dm-crypt…");
        assert_eq!(cut("disk", 10, 80), "disk");
    }
}
