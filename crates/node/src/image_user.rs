//! Who an image's process is: a name or number, looked up in the image's own `/etc/passwd` and `/etc/group`. Pure.

/// A user, by the image's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its id; `None` if nothing was said.
    pub(crate) uid: Option<u32>,
    /// Its group.
    pub(crate) gid: u32,
    /// Groups it is in.
    pub(crate) groups: Vec<u32>,
    /// Its home.
    pub(crate) home: Option<String>,
    /// It was named, and not numbered.
    pub(crate) named: Option<String>,
}

/// Longest line that is looked at, and most groups.
const LINE: usize = 4096;
const GROUPS: usize = 256;

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| line.len() <= LINE && !line.starts_with('#'))
        .map(|line| line.split(':').collect())
}

/// Looks up `wanted`: `""`, `user`, `uid`, `user:group`, `uid:gid`.
pub(crate) fn identify(passwd: &str, group: &str, wanted: &str) -> Result<Identity, String> {
    let (user, wanted_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (wanted, None),
    };
    let number = user.parse::<u32>().ok();
    let found = lines(passwd).find(|fields| match (number, fields.as_slice()) {
        (Some(number), [_, _, uid, ..]) => uid.parse() == Ok(number),
        (None, [name, _, _, ..]) => *name == if user.is_empty() { "root" } else { user },
        _ => false,
    });
    let field = |at: usize| found.as_ref().and_then(|fields| fields.get(at).copied());
    let uid = match (number, field(2).and_then(|uid| uid.parse().ok())) {
        (Some(number), _) => Some(number),
        (None, _) if user.is_empty() => None,
        (None, Some(uid)) => Some(uid),
        (None, None) => {
            return Err(format!(
                "unable to find user {user}: no matching entries in passwd file"
            ));
        }
    };
    let own = field(3).and_then(|gid| gid.parse().ok()).unwrap_or(0);
    let gid = match wanted_group {
        None | Some("") => own,
        Some(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => lines(group)
                .find(|fields| fields.first() == Some(&name))
                .and_then(|fields| fields.get(2)?.parse().ok())
                .ok_or_else(|| format!("unable to find group {name}: no matching entries in group file"))?,
        },
    };
    let mut groups: Vec<u32> = match field(0) {
        Some(login) => lines(group)
            .filter(|fields| {
                fields
                    .get(3)
                    .is_some_and(|members| members.split(',').any(|member| member == login))
            })
            .filter_map(|fields| fields.get(2)?.parse().ok())
            .take(GROUPS)
            .collect(),
        None => Vec::new(),
    };
    groups.retain(|other| *other != gid);
    Ok(Identity {
        uid,
        gid,
        groups,
        home: field(5).filter(|home| home.starts_with('/')).map(str::to_owned),
        named: (number.is_none() && !user.is_empty()).then(|| user.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_looked_up_in_the_image() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n# no:x:9:9::/:\nweb:x:101:102:web,,:/srv/web:/bin/false\nodd\n";
        let group = "root:x:0:\nweb:x:102:\nssl:x:110:web,other\nlog:x:111:other,web\nbad:x:y:web\n";
        let of = |wanted: &str| {
            identify(passwd, group, wanted)
                .map(|who| (who.uid, who.gid, who.groups, who.home.unwrap_or_default()))
        };
        assert_eq!(of(""), Ok((None, 0, vec![], "/root".to_owned())));
        assert_eq!(
            of("web"),
            Ok((Some(101), 102, vec![110, 111], "/srv/web".to_owned()))
        );
        assert_eq!(
            of("101"),
            Ok((Some(101), 102, vec![110, 111], "/srv/web".to_owned()))
        );
        assert_eq!(
            of("web:ssl"),
            Ok((Some(101), 110, vec![111], "/srv/web".to_owned()))
        );
        assert_eq!(of("7:8"), Ok((Some(7), 8, vec![], String::new())));
        assert_eq!(of("7"), Ok((Some(7), 0, vec![], String::new())));
        assert_eq!(
            identify(passwd, group, "web").unwrap().named.as_deref(),
            Some("web")
        );
        assert_eq!(identify("", "", "0").unwrap().uid, Some(0));
        assert!(of("nobody").unwrap_err().contains("unable to find user nobody"));
        assert!(of("no").is_err(), "a comment is no user");
        assert!(of("web:none").unwrap_err().contains("unable to find group none"));
    }
}
