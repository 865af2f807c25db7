//! A mail as a page: tables and a little colour, nothing that is loaded from elsewhere. Pure.

use super::super::Notice;
use super::super::text::{Overview, Story, Word};

/// The whole page.
pub(super) fn page(notice: &Notice<'_>, link: Option<&str>) -> String {
    let body = match notice.messages.as_slice() {
        [message] => story(&Story::of(message, link)),
        _ => overview(&Overview::of(notice, link)),
    };
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head>\n\
         <body style=\"font-family:sans-serif;font-size:14px\">\n{body}</body></html>\n"
    )
}

fn story(story: &Story) -> String {
    let mut html = format!(
        "<h2 style=\"font-size:18px\">{} {}</h2>\n{}",
        badge(story.word),
        escape(&story.title()),
        table(&story.facts)
    );
    if let Some(why) = story.why {
        html.push_str(&format!("<h3>Why it matters</h3>\n<p>{}</p>\n", escape(why)));
    }
    if !story.remedy.is_empty() {
        html.push_str(&format!("<h3>How to fix it</h3>\n{}", preformatted(&story.remedy)));
    }
    if let Some(link) = &story.link {
        html.push_str(&format!("<p><a href=\"{0}\">{0}</a></p>\n", escape(link)));
    }
    html.push_str(&format!("<p style=\"color:#757575\">Alert {}</p>\n", escape(&story.alert_id)));
    html
}

fn overview(overview: &Overview) -> String {
    let mut html = format!(
        "<h2 style=\"font-size:18px\">{}</h2>\n{}<ul>\n",
        escape(&overview.title),
        table(&overview.counts)
    );
    for story in &overview.named {
        let title = match &story.link {
            Some(link) => {
                format!("<a href=\"{}\">{}</a>", escape(link), escape(&story.title()))
            }
            None => escape(&story.title()),
        };
        html.push_str(&format!(
            "<li>{} {}: {title} [{}]</li>\n",
            badge(story.word),
            escape(&story.severity),
            escape(&story.check)
        ));
    }
    html.push_str("</ul>\n");
    if let Some(more) = overview.more() {
        html.push_str(&format!("<p>{}</p>\n", escape(&more)));
    }
    for (check, why, remedy) in &overview.remedies {
        html.push_str(&format!("<h3>{}</h3>\n", escape(check)));
        if let Some(why) = why {
            html.push_str(&format!("<p>{}</p>\n", escape(why)));
        }
        if !remedy.is_empty() {
            html.push_str(&format!("<p>How to fix one of them:</p>\n{}", preformatted(remedy)));
        }
    }
    html
}

fn badge(word: Word) -> String {
    let color = match word {
        Word::Firing => "#c62828",
        Word::Ended | Word::Worsened => "#757575",
        Word::Resolved => "#2e7d32",
    };
    format!("<span style=\"color:{color};font-weight:bold\">{}</span>", word.as_str())
}

fn table(facts: &[(&'static str, String)]) -> String {
    let row = |(name, value): &(&'static str, String)| {
        format!(
            "<tr><td style=\"padding-right:12px;color:#757575\">{}</td><td>{}</td></tr>\n",
            escape(name),
            escape(value)
        )
    };
    format!("<table>\n{}</table>\n", facts.iter().map(row).collect::<String>())
}

fn preformatted(text: &str) -> String {
    format!("<pre style=\"white-space:pre-wrap\">{}</pre>\n", escape(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::super::super::fixture;
    use super::*;
    use crate::alert::AlertState;

    #[test]
    fn one_alert_is_a_small_page() {
        let alert = fixture::alert("0123");
        let notice = fixture::one(&alert, AlertState::Firing);
        expect![[r#"
            <!DOCTYPE html>
            <html><head><meta charset="utf-8"></head>
            <body style="font-family:sans-serif;font-size:14px">
            <h2 style="font-size:18px"><span style="color:#c62828;font-weight:bold">FIRING</span> es-1: /srv/es rests in plaintext on /dev/sdb</h2>
            <table>
            <tr><td style="padding-right:12px;color:#757575">Severity</td><td>high</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Check</td><td>volume_encrypted</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Cluster</td><td>prod</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Host</td><td>es-1</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Host id</td><td>11111111-2222-4333-8444-555555555555</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Path</td><td>/srv/es</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Asset</td><td>data:/srv/es</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Plaintext on</td><td>/dev/sdb, /dev/sdc</td></tr>
            <tr><td style="padding-right:12px;color:#757575">Since</td><td>2023-11-14 22:13:20 UTC</td></tr>
            </table>
            <h3>Why it matters</h3>
            <p>Whoever takes the disk, its image or a decommissioned drive reads what the node wrote. It does not protect a running, unlocked node. For PCI DSS 3.5.1.2 it is supporting evidence only: disk encryption alone does not satisfy that requirement on fixed disks.</p>
            <h3>How to fix it</h3>
            <pre style="white-space:pre-wrap">put dm-crypt under it:
              cryptsetup luksFormat /dev/sdb</pre>
            <p><a href="https://wiki.example.com/volume_encrypted">https://wiki.example.com/volume_encrypted</a></p>
            <p style="color:#757575">Alert 0123</p>
            </body></html>
        "#]].assert_eq(&page(&notice, Some("https://wiki.example.com/{check}")));
    }

    /// The tags that the pages are made of.
    const TAGS: [&str; 16] = [
        "!DOCTYPE", "html", "head", "meta", "body", "h2", "h3", "span", "table", "tr", "td", "p",
        "pre", "a", "ul", "li",
    ];

    proptest! {
        #[test]
        fn no_host_can_add_a_tag(first in fixture::any_alert(), second in fixture::any_alert()) {
            let alerts = [first, second];
            for notice in [fixture::told(&alerts), fixture::one(&alerts[0], AlertState::Firing)] {
                let page = page(&notice, Some("https://wiki.example.com/{host}?{cluster}"));
                for tag in page.split('<').skip(1) {
                    let name = tag.trim_start_matches('/').split([' ', '>']).next();
                    prop_assert!(name.is_some_and(|name| TAGS.contains(&name)), "{}", tag);
                }
            }
        }
    }
}
