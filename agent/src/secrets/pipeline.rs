//! Pipelines of Logstash: the options of plug-ins that may be secrets.

use zeroize::Zeroizing;

use super::{Collector, Leaf, Naming, scan};
use crate::pipeline;
pub(crate) use crate::pipeline::MAX_SIZE;

/// Reads a pipeline's file.
pub(crate) fn read(bytes: &[u8], collector: &mut Collector<'_>) {
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    read_text(&text, &|line| line, collector);
    scan::comments(&text, pair, Naming::Dotted, collector);
}

/// Reads a pipeline; `line_of` says on which line of its file a line of it stands.
pub(super) fn read_text(text: &str, line_of: &dyn Fn(u64) -> u64, collector: &mut Collector<'_>) {
    let whole = pipeline::walk(text, &mut |seen| {
        let Some(value) = seen.value else { return };
        let naming = if seen.is_of_event { Naming::Foreign } else { Naming::Dotted };
        let line = Some(line_of(seen.line));
        collector.take(Leaf { naming, ..Leaf::dotted(&seen.path.join("."), line, value) });
    });
    if let Err(line) = whole {
        collector.broken_at(line_of(line));
        for (number, line) in scan::numbered(text) {
            let number = line_of(number);
            if let Some((name, value)) = pair(line.trim())
                && !collector.has_line(number)
                && !line.trim_start().starts_with('#')
            {
                collector.take(Leaf::dotted(name, Some(number), scan::unquoted(value)));
            }
        }
    }
}

/// `name => value` on one line.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once("=>")?;
    // On one line with the braces of its plug-in.
    let name = name.rsplit(['{', ' ', '\t']).find(|part| !part.is_empty())?;
    let value = value.trim().trim_end_matches(['}', ' ']);
    Some((name.trim_matches(['"', '\'']), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::{Contents, Kind};

    fn contents(text: &str) -> Contents {
        let mut collector = Collector::new("logstash");
        read(text.as_bytes(), &mut collector);
        collector.finish()
    }

    fn found(text: &str) -> Vec<(u64, String)> {
        let contents = contents(text);
        let plain = contents.sightings.iter().filter(|seen| seen.is_plain());
        plain.map(|seen| (seen.line.unwrap(), seen.setting.clone())).collect()
    }

    fn at(line: u64, setting: &str) -> (u64, String) {
        (line, setting.to_owned())
    }

    #[test]
    fn options_of_plug_ins_are_found() {
        let text = "# pipeline\ninput {\n  beats { port => 5044 }\n  jdbc {\n    jdbc_password => 'hunter2'\n  }\n}\n\
                    filter { }\noutput {\n  if [type] == \"password\" and [a][b] in [1, 2] {\n    elasticsearch {\n      hosts => [\"https://u:hunter2@es:9200\", \"es\"]\n\
                          user => \"elastic\"\n      password => \"hunter2\"\n      api_key => \"${KEY}\"\n      ssl_enabled => true\n    }\n  } else {\n    stdout { codec => rubydebug }\n  }\n}\n";
        assert_eq!(
            found(text),
            [
                at(5, "input.jdbc.jdbc_password"),
                at(12, "output.elasticsearch.hosts"),
                at(14, "output.elasticsearch.password"),
            ]
        );
        assert_eq!(contents(text).broken_at, None);
    }

    #[test]
    fn names_of_event_fields_are_no_settings() {
        for text in [
            "filter { mutate { replace => { \"password\" => \"abc-123\" } remove_field => [\"password\", \"token\"] } }",
            "filter { mutate { rename => { \"[user][password]\" => \"[secret]\" } gsub => [\"password\", \".\", \"x\"] } }",
            "filter { grok { match => { \"message\" => \"password=%{WORD:password}\" } } }",
            "output { elasticsearch { password => \"${ES_PWD}\" cloud_auth => \"${A}:${B}\" } }",
            "output { http { headers => { \"Authorization\" => \"Bearer %{[token]}\" } } }",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn headers_and_keys_in_hashes_are_found() {
        let text = "output { http { url => \"http://x\" headers => { \"X-Api-Key\" => 'abc-123-def' \"Authorization\" => \"ApiKey abcdefghij==\" } } }";
        assert_eq!(
            found(text),
            [at(1, "output.http.headers.Authorization"), at(1, "output.http.headers.X-Api-Key")]
        );
        let kafka = "input { kafka { sasl_jaas_config => \"x.PlainLoginModule required username=\\\"u\\\" password=\\\"hunter2\\\";\" } }";
        assert_eq!(contents(kafka).sightings[0].kind, Kind::Url);
    }

    #[test]
    fn in_a_broken_pipeline_lines_still_tell() {
        let text = "output {\n  elasticsearch {\n    user => \"x\n    password => \"hunter2\"\n";
        let seen = contents(text);
        assert!(seen.broken_at.is_some());
        assert!(
            found(text).iter().any(|(line, name)| *line == 4 && name.ends_with("password")),
            "{seen:?}"
        );
        assert!(contents("output { x { } } }").broken_at.is_some());
    }

    #[test]
    fn comments_and_shipped_examples() {
        assert_eq!(found("output {\n #password => \"Zx81-uvula\"\n}\n"), [at(2, "password")]);
        assert_eq!(
            found(
                "output {\n  elasticsearch {\n    #user => \"elastic\"\n    #password => \"changeme\"\n  }\n}\n"
            ),
            []
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}\\[\\]=>\"'#\\\\ \na-c,\u{e9}]{0,120}") {
            contents(&text);
        }
    }
}
