//! The default name of a service, from the name of its image. Pure.

/// The last part of an image's repository: `registry:5000/team/app:1.2` is `app`.
///
/// `None` for an image that was started by its id, which has no name.
pub(super) fn base_name(image: &str) -> Option<&str> {
    let repository = image.split_once('@').map_or(image, |(repository, _digest)| repository);
    let last = repository.rsplit('/').next().unwrap_or_default();
    let name = last.split(':').next().unwrap_or_default();
    let id =
        repository.starts_with("sha256:") || (name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (!name.is_empty() && !id).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases = [
            ("nginx", Some("nginx")),
            ("progrium/nginx:4", Some("nginx")),
            ("reg.local:5000/team/app:1.2", Some("app")),
            ("app@sha256:0123", Some("app")),
            ("reg:5000/app:2@sha256:0123", Some("app")),
            ("sha256:0123", None),
            ("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", None),
            ("", None),
        ];
        for (image, name) in cases {
            assert_eq!(base_name(image), name, "{image}");
        }
    }
}
