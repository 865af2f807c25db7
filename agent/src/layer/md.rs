//! An md array: contents go to every member, whatever the level.

use atrest_proto::model::Reason;

use super::{Anatomy, Leg, Role};
use crate::snapshot::{BlockDevice, DeviceNumber, MdMember};

pub(super) fn dissect(device: &BlockDevice) -> Option<Anatomy> {
    let md = device.md.as_ref()?;
    let kind = if md.level.is_empty() { "md".to_owned() } else { format!("md-{}", md.level) };
    // A container of external metadata has only spares, and stands for the disks that its arrays lie on.
    let is_container = md.level == "container";
    let (spares, members): (Vec<_>, Vec<_>) =
        md.members.iter().partition(|member| !is_container && is_spare(member));
    let mut legs: Vec<Leg> = members
        .iter()
        .map(|member| Leg::Device { device: member.device, role: role(member) })
        .collect();
    if legs.is_empty() {
        legs.push(Leg::Unknown {
            reason: Reason::Unreadable,
            detail: format!("{}: an array without members", device.node()),
        });
    }
    let mut anatomy = Anatomy::new(kind, legs);
    anatomy.shown = spares.iter().map(|spare| spare.device).collect();
    if !spares.is_empty() {
        anatomy.detail.insert("spares".to_owned(), spares.len().to_string());
    }
    Some(anatomy)
}

/// The spares of an array, in the order of its members.
///
/// The members of a container (`imsm`, `ddf`) are whole disks that its arrays take from it: none of them is a spare
/// by itself, and none is encrypted below.
pub fn spares(device: &BlockDevice) -> Vec<DeviceNumber> {
    let arrays = device.md.iter().filter(|md| md.level != "container");
    let members = arrays.flat_map(|md| &md.members);
    members.filter(|member| is_spare(member)).map(|member| member.device).collect()
}

/// A spare holds no contents until the array is rebuilt onto it; then it has a slot. A member of which nothing is
/// known counts.
fn is_spare(member: &MdMember) -> bool {
    let spare = member.state.split(',').any(|word| word == "spare");
    spare && member.slot == "none"
}

/// The write journal of RAID 4, 5 and 6 holds contents on their way.
fn role(member: &MdMember) -> Role {
    if member.slot == "journal" || member.state.split(',').any(|word| word == "journal") {
        Role::Journal
    } else {
        Role::Contents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::MdFacts;

    fn array(members: &[(u32, &str, &str)]) -> BlockDevice {
        let members = members
            .iter()
            .map(|(minor, state, slot)| MdMember {
                device: DeviceNumber::new(8, *minor),
                state: (*state).to_owned(),
                slot: (*slot).to_owned(),
            })
            .collect();
        BlockDevice {
            md: Some(MdFacts { level: "raid1".to_owned(), members }),
            ..BlockDevice::default()
        }
    }

    #[test]
    fn every_member_counts_and_a_spare_is_shown() {
        let anatomy =
            dissect(&array(&[(0, "in_sync", "0"), (16, "faulty", "none"), (32, "spare", "none")]))
                .unwrap();
        assert_eq!(anatomy.legs.len(), 2);
        assert_eq!(anatomy.shown, [DeviceNumber::new(8, 32)]);
    }

    #[test]
    fn spares_are_named_and_a_container_has_none() {
        let mut device = array(&[(0, "in_sync", "0"), (16, "spare", "1"), (32, "spare", "none")]);
        assert_eq!(spares(&device), [DeviceNumber::new(8, 32)]);
        if let Some(md) = &mut device.md {
            "container".clone_into(&mut md.level);
        }
        assert!(spares(&device).is_empty());
        assert!(spares(&BlockDevice::default()).is_empty());
    }

    #[test]
    fn a_spare_that_is_being_rebuilt_counts() {
        let anatomy = dissect(&array(&[(0, "in_sync", "0"), (16, "spare", "1")])).unwrap();
        assert_eq!(anatomy.legs.len(), 2);
    }

    #[test]
    fn a_journal_is_told_apart() {
        let anatomy = dissect(&array(&[(0, "in_sync", "0"), (16, "journal", "journal")])).unwrap();
        assert_eq!(
            anatomy.legs[1],
            Leg::Device { device: DeviceNumber::new(8, 16), role: Role::Journal }
        );
    }

    #[test]
    fn the_members_of_a_container_count() {
        let mut container = array(&[(0, "spare", "none"), (16, "spare", "none")]);
        if let Some(md) = &mut container.md {
            "container".clone_into(&mut md.level);
        }
        assert_eq!(dissect(&container).unwrap().legs.len(), 2);
    }

    #[test]
    fn an_array_without_members_is_unknown() {
        assert!(matches!(dissect(&array(&[])).unwrap().legs[..], [Leg::Unknown { .. }]));
    }
}
