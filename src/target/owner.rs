//! Users and groups of the settings.

use nix::unistd::{Group, User};

use super::TargetSetupError;

/// The id of a user, given by name or id.
pub(super) fn user_id(name: &str) -> Result<u32, TargetSetupError> {
    look_up_id("user", name, |name| User::from_name(name).map(|user| user.map(|user| user.uid.as_raw())))
}

/// The id of a group, given by name or id.
pub(super) fn group_id(name: &str) -> Result<u32, TargetSetupError> {
    look_up_id("group", name, |name| Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw())))
}

fn look_up_id(
    key: &'static str,
    name: &str,
    find: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Result<u32, TargetSetupError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match find(name) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(TargetSetupError::UnknownOwner { key, name: name.to_owned() }),
        Err(errno) => Err(TargetSetupError::OwnerLookup { key, name: name.to_owned(), source: errno.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_by_name_or_id() {
        assert_eq!(user_id("root").expect("everywhere"), 0);
        assert_eq!(group_id("1234").expect("a number"), 1234);
        let error = user_id("no such user").expect_err("there is no such user");
        assert_eq!(error.to_string(), "`user`: no user is called \"no such user\"");
    }
}
