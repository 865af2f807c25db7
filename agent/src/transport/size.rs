//! Keeps a report so small that the server takes it: one that it refuses is told by nobody.

use atrest_proto::model::{Gap, Reason, Verdict};
use atrest_proto::v1;
use prost::Message as _;

/// In bytes: half of what the server takes in one message, 8 MiB.
const MOST: usize = 4 << 20;

/// Leaves out how paths are made up, those with the best verdicts first, until the report is small enough. The verdicts and
/// findings stay, and what is left out is a gap.
pub(super) fn bound(posture: &mut v1::Posture) {
    let mut length = posture.encoded_len();
    if length <= MOST {
        return;
    }
    let verdict = |path: &v1::PathPosture| {
        v1::Verdict::try_from(path.verdict).map_or(Verdict::Unknown, Verdict::from)
    };
    let mut paths: Vec<&mut v1::PathPosture> =
        posture.paths.iter_mut().filter(|path| !path.layers.is_empty()).collect();
    // From the worst to the best, and equal ones in the order of the report.
    paths.sort_by_key(|path| verdict(path));
    let mut left_out = 0;
    while length > MOST
        && let Some(path) = paths.pop()
    {
        let before = path.encoded_len();
        path.layers.clear();
        path.roots.clear();
        length -= before - path.encoded_len();
        left_out += 1;
    }
    let gap = Gap {
        subject: "report".to_owned(),
        reason: Reason::Unreadable,
        detail: format!(
            "with everything, the report would be larger than {} MiB: the layers below {left_out} paths are left out",
            MOST >> 20
        ),
        remedy: "find out what names so many paths, or has so many mounts".to_owned(),
    };
    posture.gaps.push(gap.into());
    posture.gaps.sort_by(|a, b| (&a.subject, &a.reason).cmp(&(&b.subject, &b.reason)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(verdict: v1::Verdict, size: usize) -> v1::PathPosture {
        let layer = v1::Layer { name: "x".repeat(size), ..v1::Layer::default() };
        v1::PathPosture { verdict: verdict.into(), layers: vec![layer], ..Default::default() }
    }

    #[test]
    fn a_report_that_fits_is_left_alone() {
        let mut posture =
            v1::Posture { paths: vec![path(v1::Verdict::Encrypted, 1000)], ..Default::default() };
        let before = posture.clone();
        bound(&mut posture);
        assert_eq!(posture, before);
    }

    #[test]
    fn of_what_is_too_large_the_layers_of_the_best_go_first() {
        let third = MOST * 2 / 5;
        let verdicts = [v1::Verdict::Encrypted, v1::Verdict::Unencrypted, v1::Verdict::Unknown];
        let paths = verdicts.map(|verdict| path(verdict, third)).to_vec();
        let mut posture = v1::Posture { paths, ..Default::default() };
        bound(&mut posture);
        let has_layers: Vec<bool> =
            posture.paths.iter().map(|path| !path.layers.is_empty()).collect();
        assert_eq!(has_layers, [false, true, true]);
        assert!(posture.encoded_len() <= MOST + 1000, "{}", posture.encoded_len());
        assert!(posture.gaps[0].detail.contains("1 paths"), "{:?}", posture.gaps);
    }

    #[test]
    fn a_report_without_layers_to_leave_out_says_so() {
        let summary = "x".repeat(MOST);
        let finding = v1::Finding { summary, ..v1::Finding::default() };
        let mut posture = v1::Posture { findings: vec![finding], ..Default::default() };
        bound(&mut posture);
        assert_eq!(posture.gaps.len(), 1);
    }
}
