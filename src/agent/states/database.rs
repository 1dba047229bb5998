//! A database is there, with its schema and its first data.
//!
//! First data is loaded once into a new database, whole or not at all. For SQLite the database is made beside its place and
//! moved there, so that its being there says that it is loaded; for PostgreSQL the mark is a comment on the database, written
//! in the transaction that loads it. Neither leaves anything among the app's own tables.

use super::{Done, Hands};
use crate::agent::folder::io_fault;
use crate::machine::files;
use crate::model::configuration::{DatabaseEngine, StateBody};
use crate::model::fault::Fault;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::fs;
use std::path::Path;
use std::time::Duration;

const SCRIPT_LIMIT: u64 = 256 * 1024 * 1024;
const LOADED: &str = "greenroom: loaded";
const PATIENCE: Duration = Duration::from_secs(15);

struct Scripts {
    schema: Option<String>,
    fixture: Option<String>,
}

impl Hands {
    pub(super) async fn database(&self, body: &StateBody) -> Result<Done, Fault> {
        let StateBody::Database {
            name,
            engine,
            schema,
            fixture,
            revision,
        } = body
        else {
            return Ok(Done::Unchanged);
        };
        if self.is_plan() {
            return Ok(Done::Unknown("a plan asks no databases".to_owned()));
        }
        let scripts = Scripts {
            schema: schema.as_deref().map(|path| script(name, "schema", path)).transpose()?,
            fixture: fixture.as_deref().map(|path| script(name, "fixture", path)).transpose()?,
        };
        // The schema is repeatable, so all that is lost with this note is the time of a repetition.
        let note = format!("database.{}.json", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let applied: Option<String> = self.folder.load(&note);
        let same = applied.as_ref() == Some(revision);
        let done = match engine {
            DatabaseEngine::Sqlite { path } => self.sqlite(name, path, &scripts, same).await?,
            DatabaseEngine::Postgres {
                host,
                port,
                database,
                user,
                password,
            } => {
                let options = PgConnectOptions::new_without_pgpass()
                    .host(host)
                    .port(*port)
                    .database(database)
                    .username(user)
                    .password(&self.secrets.value(password).await?)
                    .application_name("greenroom-agent")
                    .disable_statement_logging();
                postgres(name, &options, &scripts, same).await?
            }
        };
        if !same {
            self.folder.save(&note, revision)?;
        }
        Ok(done)
    }

    async fn sqlite(&self, name: &str, path: &str, scripts: &Scripts, same: bool) -> Result<Done, Fault> {
        let place = self.confines.check(path)?;
        if place.exists() {
            let (Some(schema), false) = (&scripts.schema, same) else {
                return Ok(Done::Unchanged);
            };
            sqlite_scripts(name, &place, &[("schema", schema)]).await?;
            return Ok(Done::Changed("brought its schema up to date".to_owned()));
        }
        let failed = |error| io_fault(&format!("The database {name} cannot be made"), &error);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let beside = files::beside(&place);
        let parts: Vec<(&str, &String)> = [("schema", &scripts.schema), ("fixture", &scripts.fixture)]
            .into_iter()
            .filter_map(|(part, text)| Some((part, text.as_ref()?)))
            .collect();
        let made = sqlite_scripts(name, &beside, &parts).await;
        let made = made.and_then(|()| {
            fs::File::open(&beside).and_then(|file| file.sync_all()).map_err(failed)?;
            fs::rename(&beside, &place).map_err(failed)
        });
        if made.is_err() {
            let left = |suffix: &str| fs::remove_file(format!("{}{suffix}", beside.display()));
            for suffix in ["", "-journal", "-wal", "-shm"] {
                let _ = left(suffix);
            }
        }
        made.map(|()| Done::Changed(loaded(scripts)))
    }
}

// Runs scripts in one transaction; a database that is not there is made.
async fn sqlite_scripts(name: &str, path: &Path, scripts: &[(&str, &String)]) -> Result<(), Fault> {
    let failed = |error: sqlx::Error| refused(name, "database", &error);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(PATIENCE)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    for (part, text) in scripts {
        let done = transaction.execute(sqlx::raw_sql(AssertSqlSafe(inner(text)))).await;
        done.map_err(|error| refused(name, part, &error))?;
    }
    transaction.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

async fn postgres(name: &str, options: &PgConnectOptions, scripts: &Scripts, same: bool) -> Result<Done, Fault> {
    let failed = |error: sqlx::Error| match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
            Fault::new("database-unavailable", format!("The database {name} cannot be reached")).why(error)
        }
        error => refused(name, "database", &error),
    };
    let connected = tokio::time::timeout(PATIENCE, PgConnection::connect_with(options)).await;
    let mut connection = connected
        .map_err(|_| Fault::new("database-unavailable", format!("The database {name} does not answer")))?
        .map_err(failed)?;
    let mark = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()";
    let comment: Option<String> = sqlx::query_scalar(mark).fetch_one(&mut connection).await.map_err(failed)?;
    let is_new = comment.as_deref() != Some(LOADED);
    if !is_new && (same || scripts.schema.is_none()) {
        return Ok(Done::Unchanged);
    }
    let mut transaction = connection.begin().await.map_err(failed)?;
    let fixture = scripts.fixture.as_ref().filter(|_| is_new);
    for (part, text) in [("schema", scripts.schema.as_ref()), ("fixture", fixture)] {
        let Some(text) = text else { continue };
        let done = transaction.execute(sqlx::raw_sql(AssertSqlSafe(inner(text)))).await;
        done.map_err(|error| refused(name, part, &error))?;
    }
    if is_new {
        let mark = "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), 'greenroom: loaded'); END $$";
        transaction.execute(sqlx::raw_sql(mark)).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(Done::Changed(if is_new {
        loaded(scripts)
    } else {
        "brought its schema up to date".to_owned()
    }))
}

fn loaded(scripts: &Scripts) -> String {
    let made = match (&scripts.schema, &scripts.fixture) {
        (Some(_), Some(_)) => "with its schema and its first data",
        (Some(_), None) => "with its schema",
        (None, Some(_)) => "with its first data",
        (None, None) => "empty",
    };
    format!("made {made}")
}

fn script(name: &str, part: &str, path: &str) -> Result<String, Fault> {
    let failed = |why: String| Fault::new("fixture-failed", format!("The {part} of {name} cannot be read")).why(why);
    let size = fs::metadata(path).map_err(|e| failed(format!("{path}: {e}")))?.len();
    if size > SCRIPT_LIMIT {
        return Err(failed(format!("{path} has {size} bytes, and {SCRIPT_LIMIT} are the most")));
    }
    let bytes = fs::read(path).map_err(|e| failed(format!("{path}: {e}")))?;
    String::from_utf8(bytes).map_err(|_| failed(format!("{path} is not UTF-8")))
}

// Dumps bring a transaction of their own; here they run in ours.
fn inner(script: &str) -> String {
    let is = |line: &str, words: &[&str]| words.iter().any(|w| line.trim().eq_ignore_ascii_case(w));
    let begins = script.lines().position(|l| is(l, &["BEGIN;", "BEGIN TRANSACTION;"]));
    let ends = script.lines().count()
        - script
            .lines()
            .rev()
            .position(|l| is(l, &["COMMIT;", "COMMIT TRANSACTION;"]))
            .unwrap_or(script.lines().count());
    let (Some(begins), true) = (begins, ends > 0) else {
        return script.to_owned();
    };
    let kept = script
        .lines()
        .enumerate()
        .filter(|(number, _)| *number != begins && *number != ends - 1);
    kept.flat_map(|(_, line)| [line, "\n"]).collect()
}

fn refused(name: &str, part: &str, error: &sqlx::Error) -> Fault {
    let said = match error {
        sqlx::Error::Database(said) => said.message().to_owned(),
        other => other.to_string(),
    };
    let full = said.contains("disk is full") || said.contains("No space left");
    let code = if full { "disk-full" } else { "fixture-failed" };
    let what = match part {
        "database" => format!("The database {name} cannot be used"),
        part => format!("The {part} of {name} cannot be loaded"),
    };
    Fault::new(code, what).why(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_of_a_dump_gives_way_to_ours() {
        let dump = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a (b);\nCOMMIT;\n";
        assert_eq!(inner(dump), "PRAGMA foreign_keys=OFF;\nCREATE TABLE a (b);\n");
        let plain = "CREATE TRIGGER t AFTER INSERT ON a\nBEGIN\n  SELECT 1;\nEND;\n";
        assert_eq!(inner(plain), plain);
    }
}
