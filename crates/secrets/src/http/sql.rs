//! Runs the core's statements on a PostgreSQL server: one connection each time, one transaction unless the question says
//! otherwise, a deadline. Neither statements nor passwords are ever logged or put into an error.

use crate::external::SqlQuestion;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::str::FromStr;
use std::time::Duration;
use zeroize::Zeroizing;

const DEADLINE: Duration = Duration::from_secs(15);
/// SQLSTATE of a log in with a wrong password.
const WRONG_PASSWORD: &str = "28P01";

/// What became of a question.
pub(crate) struct Asked<'q> {
    /// Which of the passwords the server accepted, if it did any.
    pub(crate) accepted: Option<&'q Zeroizing<String>>,
    /// Whether the server itself said no, so that none of it was done; if false after an error, nobody knows.
    pub(crate) refused: bool,
    /// The error is a text for people.
    pub(crate) outcome: Result<(), String>,
}

/// Asks.
pub(crate) async fn ask(question: &SqlQuestion) -> Asked<'_> {
    let mut accepted = None;
    let (refused, outcome) = match tokio::time::timeout(DEADLINE, run(question, &mut accepted)).await {
        Ok(Ok(())) => (false, Ok(())),
        Ok(Err(error)) => (
            is_refusal(&error),
            Err(hide(question, &herder_base::chain(&error).to_string())),
        ),
        Err(_) => (
            false,
            Err(format!(
                "the database gave no answer within {} seconds",
                DEADLINE.as_secs()
            )),
        ),
    };
    Asked {
        accepted,
        refused,
        outcome,
    }
}

/// A server that is told to stop says so in the middle of its work, which may be done.
fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => !error.code().is_some_and(|code| code.starts_with("57")),
        _ => false,
    }
}

async fn run<'q>(
    question: &'q SqlQuestion,
    accepted: &mut Option<&'q Zeroizing<String>>,
) -> Result<(), sqlx::Error> {
    let mut connection = connect(question, accepted).await?;
    if let Some(role) = &question.only_if_role {
        let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1")
            .bind(role)
            .fetch_optional(&mut connection)
            .await?;
        if found.is_none() {
            return Ok(());
        }
    }
    let texts = question.statements.iter();
    let mut statements = texts.map(|text| sqlx::raw_sql(sqlx::AssertSqlSafe(text.as_str())));
    if question.separate {
        for statement in statements {
            connection.execute(statement).await?;
        }
    } else {
        let mut transaction = connection.begin().await?;
        for statement in statements.by_ref() {
            transaction.execute(statement).await?;
        }
        transaction.commit().await?;
    }
    // The work is done; how the connection ends does not matter.
    let _closed = connection.close().await;
    Ok(())
}

async fn connect<'q>(
    question: &'q SqlQuestion,
    accepted: &mut Option<&'q Zeroizing<String>>,
) -> Result<PgConnection, sqlx::Error> {
    let options = PgConnectOptions::from_str(&question.url)?
        .username(&question.username)
        .application_name("herder")
        .disable_statement_logging();
    let mut refused = None;
    for password in std::iter::once(&question.password).chain(&question.others) {
        match options.clone().password(password).connect().await {
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(WRONG_PASSWORD) => {
                refused.get_or_insert(sqlx::Error::Database(error));
            }
            Ok(connection) => {
                *accepted = Some(password);
                return Ok(connection);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or(sqlx::Error::WorkerCrashed))
}

/// A server's complaint may quote the statement it could not read.
fn hide(question: &SqlQuestion, text: &str) -> String {
    let mut text = text.to_owned();
    for secret in [&question.password, &question.made.password]
        .into_iter()
        .chain(&question.others)
    {
        if !secret.is_empty() {
            text = text.replace(secret.as_str(), "***");
        }
    }
    text
}
