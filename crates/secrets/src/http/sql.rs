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

/// Asks; the error is a text for people.
pub(crate) async fn ask(question: &SqlQuestion) -> Result<(), String> {
    ask_as(question).await.1
}

/// The same, and which of the passwords the server accepted, if it did any.
pub(crate) async fn ask_as(question: &SqlQuestion) -> (Option<&Zeroizing<String>>, Result<(), String>) {
    let mut accepted = None;
    let outcome = match tokio::time::timeout(DEADLINE, run(question, &mut accepted)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(hide(question, &herder_base::chain(&error).to_string())),
        Err(_) => Err(format!(
            "the database gave no answer within {} seconds",
            DEADLINE.as_secs()
        )),
    };
    (accepted, outcome)
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
