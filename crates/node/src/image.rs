//! What an image name means here. Only the machine itself can be an image so far.

/// Why a container has no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    /// Not a name.
    #[error("couldn't parse image name {0:?}: invalid reference format")]
    Invalid(String),
    /// A name of something this node cannot fetch.
    #[error(
        "image {0:?} is not available: this node runs the image `host` (any tag: the machine's own programs) and does \
         not pull from registries; use `host`, or connect a Kubernetes cluster that can pull it"
    )]
    Unsupported(String),
}

/// Checks that `image` can be run: `host`, with any tag or digest.
pub(crate) fn resolve(image: &str) -> Result<(), ImageError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "./:@_-".contains(c);
    if image.is_empty() || !image.chars().all(allowed) || image.ends_with(':') || image.starts_with('/') {
        return Err(ImageError::Invalid(image.to_owned()));
    }
    let name = image.split('@').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    if name == "host" {
        Ok(())
    } else {
        Err(ImageError::Unsupported(image.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine() {
        for (image, ok) in [
            ("host", true),
            ("host:1.2", true),
            ("host@sha256:abc", true),
            ("nginx:1.27", false),
            ("registry.example/host:1", false),
            ("", false),
            ("host:", false),
            ("no spaces", false),
        ] {
            assert_eq!(resolve(image).is_ok(), ok, "{image}");
        }
    }
}
