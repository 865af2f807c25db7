//! What a bucket policy of S3 refuses: whether an object can be written that asks for no encryption.
//!
//! The language is that of IAM: "IAM JSON policy elements" and "Bucket policy examples: requiring encryption" of Amazon's
//! documentation. Only denials count, and only those for everybody: an allowance proves nothing.

use serde::Deserialize;
use serde_json::Value;

use super::facts::Refusal;

/// Bucket policies have at most 20 KB: "Bucket policies", S3 user guide.
pub const MAX_SIZE: usize = 64 << 10;
const HEADER: &str = "s3:x-amz-server-side-encryption";

#[derive(Deserialize)]
struct Policy {
    #[serde(rename = "Statement")]
    statement: OneOrMany<Statement>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::Many(many) => many,
            Self::One(one) => std::slice::from_ref(one),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    #[serde(default)]
    principal: Value,
    action: Option<OneOrMany<String>>,
    resource: Option<OneOrMany<String>>,
    #[serde(default)]
    condition: Value,
}

/// The strictest refusal of a policy for objects of this bucket; `None` when it refuses nothing of the kind, or is none.
pub fn refusal(text: &str, bucket: &str) -> Option<Refusal> {
    if text.len() > MAX_SIZE {
        return None;
    }
    let policy: Policy = serde_json::from_str(text).ok()?;
    let statements = policy.statement.as_slice().iter();
    statements.filter(|statement| denies_writing(statement, bucket)).filter_map(condition).max()
}

/// Whether it denies everybody to write to the whole bucket.
fn denies_writing(statement: &Statement, bucket: &str) -> bool {
    let who = statement.principal.get("AWS").unwrap_or(&statement.principal);
    let is_everybody = texts(who).contains(&"*");
    let any = |list: &Option<OneOrMany<String>>, is_it: &dyn Fn(&str) -> bool| {
        list.as_ref().is_some_and(|list| list.as_slice().iter().any(|one| is_it(one)))
    };
    let of_bucket = format!(":{bucket}/*");
    statement.effect == "Deny"
        && is_everybody
        && any(&statement.action, &|action| {
            ["*", "s3:*", "s3:put*", "s3:putobject", "s3:putobject*"]
                .contains(&action.to_ascii_lowercase().as_str())
        })
        && any(&statement.resource, &|resource| resource == "*" || resource.ends_with(&of_bucket))
}

/// What the only condition of a denial refuses: with more of them it refuses less.
fn condition(statement: &Statement) -> Option<Refusal> {
    let conditions = statement.condition.as_object()?;
    let (operator, keys) = conditions.iter().next().filter(|_| conditions.len() == 1)?;
    let keys = keys.as_object()?;
    let (key, value) = keys.iter().next().filter(|_| keys.len() == 1)?;
    if !key.eq_ignore_ascii_case(HEADER) {
        return None;
    }
    let values = texts(value);
    match operator.as_str() {
        "Null" => (values == ["true"]).then_some(Refusal::Plain),
        // What is not sent does not equal either: without `IfExists` its absence is refused too.
        "StringNotEquals" if !values.is_empty() => {
            let is_key_service = |value: &&str| value.starts_with("aws:kms");
            Some(if values.iter().all(is_key_service) {
                Refusal::AllButKeyService
            } else {
                Refusal::Plain
            })
        }
        _ => None,
    }
}

/// One text or several; the language has `true` with quotes and without.
fn texts(value: &Value) -> Vec<&str> {
    if let Some(many) = value.as_array() {
        return many.iter().filter_map(Value::as_str).collect();
    }
    let truth = value.as_bool().map(|truth| if truth { "true" } else { "false" });
    value.as_str().or(truth).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(principal: &str, action: &str, resource: &str, condition: &str) -> Option<Refusal> {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
                "Resource":"*"}},{{"Effect":"Deny","Principal":{principal},"Action":{action},
                "Resource":{resource},"Condition":{condition}}}]}}"#
        );
        refusal(&text, "b")
    }

    const NULL: &str = r#"{"Null":{"s3:x-amz-server-side-encryption":"true"}}"#;

    #[test]
    fn denials_are_told_apart() {
        let put = r#""s3:PutObject""#;
        let all = r#""arn:aws:s3:::b/*""#;
        let kms = r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#;
        let either =
            r#"{"StringNotEquals":{"s3:x-amz-server-side-encryption":["aws:kms","AES256"]}}"#;
        let also = r#"{"StringNotEqualsIfExists":{"s3:x-amz-server-side-encryption":"aws:kms"}}"#;
        let transit = r#"{"Bool":{"aws:SecureTransport":"false"}}"#;
        for (principal, action, resource, condition, expected) in [
            (r#""*""#, put, all, NULL, Some(Refusal::Plain)),
            (
                r#"{"AWS":"*"}"#,
                r#"["s3:PutObject"]"#,
                r#"["arn:aws:s3:::b/*"]"#,
                kms,
                Some(Refusal::AllButKeyService),
            ),
            (r#""*""#, r#""s3:*""#, r#""*""#, either, Some(Refusal::Plain)),
            // Somebody else may still write plain objects.
            (r#"{"AWS":"arn:aws:iam::1:role/x"}"#, put, all, NULL, None),
            (r#""*""#, put, r#""arn:aws:s3:::b/part/*""#, NULL, None),
            (r#""*""#, put, r#""arn:aws:s3:::bb/*""#, NULL, None),
            (r#""*""#, r#""s3:GetObject""#, all, NULL, None),
            (r#""*""#, put, all, also, None),
            (r#""*""#, put, all, transit, None),
            (r#""*""#, put, all, r#"{"Null":{"s3:x-amz-server-side-encryption":"false"}}"#, None),
            (
                r#""*""#,
                put,
                all,
                r#"{"Null":{"s3:x-amz-server-side-encryption":"true"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
                None,
            ),
        ] {
            assert_eq!(
                of(principal, action, resource, condition),
                expected,
                "{principal} {action} {condition}"
            );
        }
    }

    #[test]
    fn what_is_no_policy_refuses_nothing() {
        for text in ["", "{}", "[]", r#"{"Statement":7}"#, r#"{"Statement":{"Effect":"Deny"}}"#] {
            assert_eq!(refusal(text, "b"), None, "{text}");
        }
        assert_eq!(refusal(&" ".repeat(MAX_SIZE + 1), "b"), None);
    }
}
