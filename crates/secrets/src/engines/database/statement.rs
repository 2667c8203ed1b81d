//! Statements with places for what is made up, and those used when a role has none. Pure.

use crate::core::request::Request;
use serde_json::Value;
use zeroize::Zeroizing;

/// Extends a user's life.
pub(super) const RENEW: &[&str] = &["ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}';"];
/// Gives the administering user another password.
pub(super) const ROTATE: &[&str] = &["ALTER ROLE \"{{name}}\" WITH PASSWORD '{{password}}';"];
/// Undoes a creation: the user can log in no more, its sessions end, every right it has in this database is taken away,
/// it is dropped. Each is committed by itself, in this order: objects that the user owns are never dropped, so then the
/// last one fails, is tried again, and somebody decides; what came before it stays.
pub(super) const REVOKE: &[&str] = &[
    r#"ALTER ROLE "{{name}}" NOLOGIN;"#,
    r#"DO $herder$
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = '{{name}}';
EXCEPTION WHEN insufficient_privilege THEN
  NULL;
END
$herder$;"#,
    r#"DO $herder$
DECLARE found record;
BEGIN
  FOR found IN SELECT DISTINCT table_schema AS name FROM information_schema.role_table_grants WHERE grantee = '{{name}}'
    UNION SELECT nspname FROM pg_catalog.pg_namespace WHERE has_schema_privilege('{{name}}', nspname, 'USAGE')
      AND nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'
  LOOP
    EXECUTE format('REVOKE ALL PRIVILEGES ON ALL TABLES IN SCHEMA %I FROM "{{name}}"', found.name);
    EXECUTE format('REVOKE ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA %I FROM "{{name}}"', found.name);
    EXECUTE format('REVOKE ALL PRIVILEGES ON ALL FUNCTIONS IN SCHEMA %I FROM "{{name}}"', found.name);
    EXECUTE format('REVOKE ALL PRIVILEGES ON SCHEMA %I FROM "{{name}}"', found.name);
  END LOOP;
  EXECUTE format('REVOKE ALL PRIVILEGES ON DATABASE %I FROM "{{name}}"', current_database());
END
$herder$;"#,
    r#"DROP ROLE "{{name}}";"#,
];

/// A list of statements out of a request: a list, or one text, also in base64 as Vault allows.
pub(super) fn list(request: &Request, key: &str) -> Option<Vec<String>> {
    let texts: Vec<String> = match request.data.get(key)? {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => return None,
    };
    Some(texts.into_iter().filter(|text| !text.trim().is_empty()).collect())
}

/// What goes into the places.
pub(super) struct Fill<'a> {
    pub(super) name: &'a str,
    pub(super) password: &'a str,
    pub(super) until: jiff::Timestamp,
}

impl Fill<'_> {
    /// The statements with the places filled; the usual ones if there are none.
    pub(super) fn all(&self, statements: &[String], usual: &[&str]) -> Vec<Zeroizing<String>> {
        if statements.is_empty() {
            return usual.iter().map(|statement| self.one(statement)).collect();
        }
        statements.iter().map(|statement| self.one(statement)).collect()
    }

    fn one(&self, statement: &str) -> Zeroizing<String> {
        // Whole seconds with an offset: what PostgreSQL reads everywhere.
        let until = self.until.strftime("%Y-%m-%d %H:%M:%S+0000").to_string();
        Zeroizing::new(
            statement
                .replace("{{name}}", self.name)
                .replace("{{username}}", self.name)
                .replace("{{password}}", self.password)
                .replace("{{expiration}}", &until),
        )
    }
}
