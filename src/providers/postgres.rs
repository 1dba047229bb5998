//! Databases in a PostgreSQL server that is there already: one database and one role for each resource of a stack.
//!
//! It holds the only account that may create them; nodes get the role's own. Both verbs may be repeated. The URL, with its
//! password, is in no message and no log.

use crate::model::fault::Fault;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A reachable PostgreSQL server.
#[derive(Clone)]
pub struct DatabaseServer {
    options: PgConnectOptions,
}

impl std::fmt::Debug for DatabaseServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DatabaseServer")
            .field("host", &self.host())
            .field("port", &self.port())
            .finish_non_exhaustive()
    }
}

impl DatabaseServer {
    /// The server of this URL (`postgres://user:password@host:port/database`); it is not connected to yet.
    ///
    /// # Errors
    /// `database-unavailable` where the text is no such URL.
    pub fn new(url: &str) -> Result<Self, Fault> {
        let good = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let parsed = if good { url.parse::<PgConnectOptions>().ok() } else { None };
        let options = parsed.ok_or_else(|| {
            // The parser's own message may quote the password.
            Fault::new("database-unavailable", "The PostgreSQL server's address is not understood")
                .why("it must look like postgres://user:password@host:port/database")
        })?;
        Ok(Self {
            options: options.disable_statement_logging().application_name("greenroom"),
        })
    }

    /// Where nodes reach it.
    pub fn host(&self) -> &str {
        self.options.get_host()
    }

    /// The port where nodes reach it.
    pub fn port(&self) -> u16 {
        self.options.get_port()
    }

    /// Makes sure that the role exists with this password and owns a database of this name that no other role may use.
    ///
    /// # Errors
    /// `database-unavailable`, with the server's message.
    pub async fn ensure_database(&self, name: &str, role: &str, password: &str) -> Result<(), Fault> {
        let what = format!("The database {} cannot be created", shown(name));
        let (database, owner) = (quoted(name)?, quoted(role)?);
        let password = literal(password)?;
        let mut connection = self.connect(&what).await?;
        let found = fetch_flag(
            &mut connection,
            "SELECT count(*) FROM pg_roles WHERE rolname = $1",
            role,
            &what,
        )
        .await?;
        let verb = if found { "ALTER" } else { "CREATE" };
        run(
            &mut connection,
            format!("{verb} ROLE {owner} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {password}"),
            &what,
        )
        .await?;
        let superuser = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper AND $1 <> ''";
        if !fetch_flag(&mut connection, superuser, role, &what).await? {
            // Whoever is no superuser must belong to the role in order to give it a database.
            run(&mut connection, format!("GRANT {owner} TO CURRENT_USER"), &what).await?;
        }
        if !fetch_flag(&mut connection, EXISTS, name, &what).await? {
            // From the template that nobody can be connected to.
            run(
                &mut connection,
                format!("CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'"),
                &what,
            )
            .await?;
        }
        run(
            &mut connection,
            format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
            &what,
        )
        .await?;
        close(connection).await;
        Ok(())
    }

    /// Ends the sessions of the database and removes it and its role. What is not there is already removed.
    ///
    /// # Errors
    /// `database-unavailable`, with the server's message.
    pub async fn drop_database(&self, name: &str, role: &str) -> Result<(), Fault> {
        let what = format!("The database {} cannot be removed", shown(name));
        let (database, owner) = (quoted(name)?, quoted(role)?);
        let mut connection = self.connect(&what).await?;
        run(
            &mut connection,
            format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            &what,
        )
        .await?;
        run(&mut connection, format!("DROP ROLE IF EXISTS {owner}"), &what).await?;
        close(connection).await;
        Ok(())
    }

    /// Whether the database is there.
    ///
    /// # Errors
    /// `database-unavailable`, with the server's message.
    pub async fn exists(&self, name: &str) -> Result<bool, Fault> {
        let what = "The databases cannot be listed".to_owned();
        let mut connection = self.connect(&what).await?;
        let found = fetch_flag(&mut connection, EXISTS, name, &what).await?;
        close(connection).await;
        Ok(found)
    }

    async fn connect(&self, what: &str) -> Result<PgConnection, Fault> {
        match tokio::time::timeout(PATIENCE, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(unavailable(what, &error)),
            Err(_) => Err(Fault::new("database-unavailable", what).why(format!(
                "the server at {}:{} does not answer",
                self.host(),
                self.port()
            ))),
        }
    }
}

const EXISTS: &str = "SELECT count(*) FROM pg_database WHERE datname = $1";

async fn run(connection: &mut PgConnection, sql: String, what: &str) -> Result<(), Fault> {
    // The parts are quoted names and literals; PostgreSQL takes no parameters here.
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
    done.map(|_| ()).map_err(|e| unavailable(what, &e))
}

async fn fetch_flag(connection: &mut PgConnection, sql: &'static str, value: &str, what: &str) -> Result<bool, Fault> {
    let count: i64 = sqlx::query_scalar(sql)
        .bind(value.to_owned())
        .fetch_one(connection)
        .await
        .map_err(|e| unavailable(what, &e))?;
    Ok(count > 0)
}

async fn close(connection: PgConnection) {
    // Everything has been done by then; a connection that is lost now is as good as a closed one.
    let _ = connection.close().await;
}

fn unavailable(what: &str, error: &sqlx::Error) -> Fault {
    let fault = Fault::new("database-unavailable", what);
    match error {
        sqlx::Error::Database(said) => fault.why(said.message()),
        other => fault.why(other),
    }
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(63).collect()
}

fn quoted(name: &str) -> Result<String, Fault> {
    if name.is_empty() || name.len() > 63 || name.contains('\0') {
        return Err(Fault::new("internal", "A database's name must have 1 to 63 bytes").why(shown(name)));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

fn literal(text: &str) -> Result<String, Fault> {
    if text.contains('\0') {
        return Err(Fault::new("internal", "A database password cannot hold a zero byte"));
    }
    Ok(format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_shows_in_no_message() {
        let server = DatabaseServer::new("postgres://admin:hunter2@db.example:5433/postgres").unwrap();
        assert_eq!((server.host(), server.port()), ("db.example", 5433));
        assert!(!format!("{server:?}").contains("hunter2"));
        for bad in ["mysql://admin:hunter2@db", "postgres://admin:hunter2@db:port/x", "hunter2"] {
            let fault = DatabaseServer::new(bad).unwrap_err();
            assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
        }
    }

    #[test]
    fn hostile_names_and_passwords_stay_inside_their_quotes() {
        assert_eq!(quoted("a\"; DROP DATABASE b; --").unwrap(), "\"a\"\"; DROP DATABASE b; --\"");
        assert_eq!(literal("it's \\ here").unwrap(), "E'it''s \\\\ here'");
        assert!(quoted("").is_err() && quoted("a\0b").is_err() && quoted(&"x".repeat(64)).is_err());
    }
}
