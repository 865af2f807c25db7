//! Answers of the EC2 API to `DescribeVolumes`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::object_store::words::brief;
use crate::object_store::xml::{self, Event};

/// What the provider says of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    pub is_encrypted: bool,
    /// The ARN of the key, where it is encrypted.
    pub key: Option<String>,
    /// The instances that it is attached to.
    pub attached_to: BTreeSet<String>,
}

/// What stands around the facts of one volume.
const ITEM: [&str; 3] = ["DescribeVolumesResponse", "volumeSet", "item"];

/// The volumes of an answer, by id. One that does not say whether it is encrypted is not.
pub(crate) fn volumes(bytes: &[u8]) -> Result<BTreeMap<String, Volume>, xml::Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| xml::Error::Syntax)?;
    let mut found = BTreeMap::new();
    let (mut id, mut volume) = (String::new(), Volume::default());
    let (mut attached_to, mut state) = (String::new(), String::new());
    xml::read(text, &mut |around, event| match event {
        Event::Open(name) if around == [ITEM[0], ITEM[1]] && name == ITEM[2] => {
            (id, volume) = (String::new(), Volume::default());
        }
        Event::Close(name) if around == [ITEM[0], ITEM[1]] && name == ITEM[2] => {
            if !id.is_empty() {
                found.insert(std::mem::take(&mut id), std::mem::take(&mut volume));
            }
        }
        Event::Text(text) if around.starts_with(&ITEM) => match around.get(ITEM.len()..) {
            Some(["volumeId"]) => id.push_str(&text),
            Some(["encrypted"]) => volume.is_encrypted = text == "true",
            Some(["kmsKeyId"]) => volume.key.get_or_insert_default().push_str(&text),
            Some(["attachmentSet", "item", "instanceId"]) => attached_to.push_str(&text),
            Some(["attachmentSet", "item", "status"]) => state.push_str(&text),
            Some(_) | None => {}
        },
        Event::Close("item")
            if around.starts_with(&ITEM) && around.last() == Some(&"attachmentSet") =>
        {
            let instance = std::mem::take(&mut attached_to);
            if std::mem::take(&mut state) == "attached" && !instance.is_empty() {
                volume.attached_to.insert(instance);
            }
        }
        Event::Open(_) | Event::Text(_) | Event::Close(_) => {}
    })?;
    Ok(found)
}

/// Why the provider refuses, in its own words.
pub(crate) fn says(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut code = String::new();
    let read = xml::read(text, &mut |around, event| {
        if let (Some(&"Code"), Event::Text(text)) = (around.last(), event) {
            code.push_str(&text);
        }
    });
    read.ok().filter(|()| !code.is_empty()).map(|()| brief(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the reference of the EC2 API has it.
    const ANSWER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>x</requestId><volumeSet>
<item><volumeId>vol-1</volumeId><size>80</size><encrypted>true</encrypted><kmsKeyId>arn:aws:kms:k</kmsKeyId>
 <attachmentSet><item><volumeId>vol-9</volumeId><instanceId>i-1</instanceId><status>attached</status></item>
 <item><instanceId>i-2</instanceId><status>detaching</status></item></attachmentSet>
 <tagSet><item><key>encrypted</key><value>true</value></item></tagSet></item>
<item><volumeId>vol-2</volumeId><encrypted>false</encrypted><attachmentSet/></item>
<item><volumeId>vol-3</volumeId></item>
</volumeSet></DescribeVolumesResponse>"#;

    #[test]
    fn volumes_are_told_apart_and_attachments_count_while_they_last() {
        let found = volumes(ANSWER.as_bytes()).unwrap();
        let first = Volume {
            is_encrypted: true,
            key: Some("arn:aws:kms:k".to_owned()),
            attached_to: BTreeSet::from(["i-1".to_owned()]),
        };
        assert_eq!(found["vol-1"], first);
        assert_eq!(found["vol-2"], Volume::default());
        assert_eq!(found["vol-3"], Volume::default(), "silence is no claim");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn what_is_cut_or_no_answer_is_an_error_and_a_refusal_is_quoted() {
        assert!(volumes(ANSWER.get(..ANSWER.len() - 9).unwrap().as_bytes()).is_err());
        assert!(volumes(b"\xff").is_err());
        assert!(volumes(b"<html></html>").unwrap().is_empty());
        let refused = b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>m</Message></Error></Errors></Response>";
        assert_eq!(says(refused).as_deref(), Some("UnauthorizedOperation"));
        assert_eq!(says(b"x"), None);
    }
}
