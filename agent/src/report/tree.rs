//! The stack as a tree, with the plain leg marked.

use std::collections::BTreeSet;

use atrest_proto::model::{Layer, PathPosture};

use super::text::{Paint, Style};

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

    fn line(&self, layer: &Layer, covered: bool, out: &mut String) {
        let mut facts = vec![layer.kind.clone()];
        for (name, value) in &layer.detail {
            facts.push(match name.as_str() {
                "fstype" | "cipher" => value.clone(),
                "key_bits" => format!("{value}-bit key"),
                _ => format!("{name} {value}"),
            });
        }
        out.push_str(&format!(
            "{}  {}",
            layer.name,
            self.style.paint(Paint::Dim, &facts.join(", "))
        ));
        if layer.repeated_above {
            out.push_str("  (see above)");
        }
        if self.encrypting.contains(layer.name.as_str()) {
            out.push_str(&format!("  {}", self.style.paint(Paint::Good, "encrypts")));
        }
        if self.plain.contains(layer.name.as_str()) && !covered {
            out.push_str(&format!("  {}", self.style.paint(Paint::Bad, "<-- PLAINTEXT")));
        }
        out.push('\n');
    }
}
