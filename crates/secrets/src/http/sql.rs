//! Runs the core's statements on a PostgreSQL server: one connection each time, one transaction, a deadline. Neither
//! statements nor passwords are ever logged or put into an error.

use crate::external::SqlQuestion;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::str::FromStr;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(15);

/// Asks; the error is a text for people.
pub(crate) async fn ask(question: &SqlQuestion) -> Result<(), String> {
    match tokio::time::timeout(DEADLINE, run(question)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(hide(question, &herder_base::chain(&error).to_string())),
        Err(_) => Err(format!(
            "the database gave no answer within {} seconds",
            DEADLINE.as_secs()
        )),
    }
}

async fn run(question: &SqlQuestion) -> Result<(), sqlx::Error> {
    let options = PgConnectOptions::from_str(&question.url)?
        .username(&question.username)
        .password(&question.password)
        .application_name("herder")
        .disable_statement_logging();
    let mut connection: PgConnection = options.connect().await?;
    let mut transaction = connection.begin().await?;
    for statement in &question.statements {
        transaction
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.as_str())))
            .await?;
    }
    transaction.commit().await?;
    // The work is done; how the connection ends does not matter.
    let _closed = connection.close().await;
    Ok(())
}

/// A server's complaint may quote the statement it could not read.
fn hide(question: &SqlQuestion, text: &str) -> String {
    let mut text = text.to_owned();
    for secret in [&question.password, &question.made.password] {
        if !secret.is_empty() {
            text = text.replace(secret.as_str(), "***");
        }
    }
    text
}
