//! What Docker keeps of a container, whether it runs or not: `containers/ID/config.v2.json`, with its environment and its
//! command.

use zeroize::Zeroizing;

use super::json::{self, Malformed, Scalar};
use super::{Collector, arguments, variables};

/// It holds the health log as well.
pub(crate) const MAX_SIZE: usize = 4 << 20;

/// Reads environment, entry point, command and health check.
pub(crate) fn read(bytes: &[u8], collector: &mut Collector<'_>) -> Result<(), Malformed> {
    let mut command: Zeroizing<Vec<String>> = Zeroizing::default();
    let mut health: Zeroizing<Vec<String>> = Zeroizing::default();
    let walked = json::walk(bytes, &mut |path, scalar| {
        let Scalar::Text(text) = scalar else { return };
        if path.starts_with("Config.Env.") {
            if let Some((name, value)) = text.split_once('=') {
                variables::assigned(name, value, None, collector);
            }
        } else if path.starts_with("Config.Entrypoint.") || path.starts_with("Config.Cmd.") {
            command.push(text.to_owned());
        } else if path.starts_with("Config.Healthcheck.Test.") {
            health.push(text.to_owned());
        }
    });
    for words in [command, health] {
        arguments::take(&words, None, false, collector);
        // What is handed to a shell is one word.
        for script in words.iter().filter(|word| word.contains(char::is_whitespace)) {
            arguments::take(&Zeroizing::new(arguments::words(script)), None, false, collector);
        }
    }
    walked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(json: &str) -> Vec<String> {
        let mut collector = Collector::new("elasticsearch");
        read(json.as_bytes(), &mut collector).unwrap();
        let contents = collector.finish();
        assert!(!format!("{contents:?}").contains("hunter2"));
        let plain = contents.sightings.into_iter().filter(super::super::Sighting::is_plain);
        plain.map(|seen| seen.setting).collect()
    }

    #[test]
    fn environment_and_command_are_read() {
        let json = r#"{"ID":"x","Name":"/es","Config":{"Image":"elasticsearch:9",
            "Env":["PATH=/bin","ELASTIC_PASSWORD=hunter2","KIBANA_TOKEN_FILE=/run/x","A_URL=https://u:hunter2@h","BROKEN"],
            "Entrypoint":["/bin/tini","--"],"Cmd":["eswrapper","-E","a.password=hunter2","--b.password=hunter2"],
            "Healthcheck":{"Test":["CMD-SHELL","curl -s https://elastic:hunter2@localhost:9200"]},
            "Labels":{"x.password":"not looked at"}}}"#;
        assert_eq!(
            names(json),
            [
                "A_URL",
                "ELASTIC_PASSWORD",
                "a setting whose name is not shown",
                "a.password",
                "b.password"
            ]
        );
    }

    #[test]
    fn a_script_is_taken_apart() {
        let json = r#"{"Config":{"Cmd":["sh","-c","exec es -Ea.password=hunter2 --b.secret 'hunter2 x'"]}}"#;
        assert_eq!(names(json), ["a.password", "b.secret"]);
    }

    #[test]
    fn what_is_damaged_is_no_description_and_what_came_before_counts() {
        let mut collector = Collector::new("elasticsearch");
        let json = br#"{"Config":{"Env":["ELASTIC_PASSWORD=hunter2""#;
        assert_eq!(read(json, &mut collector), Err(Malformed));
        assert_eq!(collector.finish().sightings.len(), 1);
    }
}
