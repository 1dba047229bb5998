//! Databases and roles of the machine's own PostgreSQL server, asked as its own account over its own socket. Statements go in
//! by a variable, for the arguments of a program can be read by everyone on the machine.

use super::{Done, Hands};
use crate::agent::program::{Ended, Surroundings};
use crate::model::configuration::{DatabaseRestore, DatabaseUser, ServerDatabase};
use crate::model::fault::Fault;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const ACCOUNT: &str = "postgres";
const STATEMENTS: &str = "GREENROOM_STATEMENTS";
const PATIENCE: Duration = Duration::from_mins(1);
const RESTORE: Duration = Duration::from_hours(6);
const ABILITIES: [(&str, &str); 4] = [
    ("createdb", "rolcreatedb"),
    ("createrole", "rolcreaterole"),
    ("replication", "rolreplication"),
    ("superuser", "rolsuper"),
];

impl Hands {
    pub(super) async fn server_database(&self, database: &ServerDatabase, stream: &str) -> Result<Done, Fault> {
        let name = &database.name;
        let asked = format!(
            "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = {}",
            literal(name)
        );
        let now = self.sql(ACCOUNT, &asked, stream).await?;
        let (statement, said) = match (now.text.trim(), &database.owner) {
            ("", owner) => {
                let owner = owner
                    .as_ref()
                    .map_or_else(String::new, |owner| format!(" OWNER {}", identifier(owner)));
                (format!("CREATE DATABASE {}{owner}", identifier(name)), "made".to_owned())
            }
            (now, Some(owner)) if now != owner => (
                format!("ALTER DATABASE {} OWNER TO {}", identifier(name), identifier(owner)),
                format!("given by {now} to {owner}"),
            ),
            _ => return Ok(Done::Unchanged),
        };
        if !self.is_plan() {
            self.sql(ACCOUNT, &statement, stream).await?;
        }
        Ok(Done::Changed(said))
    }

    pub(super) async fn database_user(&self, user: &DatabaseUser, stream: &str) -> Result<Done, Fault> {
        let columns: Vec<&str> = ABILITIES.iter().map(|(_, column)| *column).collect();
        let asked = format!(
            "SELECT {} FROM pg_catalog.pg_roles WHERE rolname = {}",
            columns.join(", "),
            literal(&user.name)
        );
        let now = self.sql(ACCOUNT, &asked, stream).await?;
        let now = now.text.trim();
        if !user.present {
            if now.is_empty() {
                return Ok(Done::Unchanged);
            }
            if !self.is_plan() {
                self.sql(ACCOUNT, &format!("DROP ROLE {}", identifier(&user.name)), stream)
                    .await?;
            }
            return Ok(Done::Changed("removed".to_owned()));
        }
        let wanted: Vec<&str> = ABILITIES
            .iter()
            .map(|(word, _)| if user.may.iter().any(|may| may == word) { "t" } else { "f" })
            .collect();
        // Only its hash is kept, to know whether it is the one that was set last.
        let note = format!("role.{}.json", user.name);
        let password = match &user.password {
            Some(value) => Some(self.secrets.value(value).await?),
            None => None,
        };
        let print = password
            .as_ref()
            .map(|p| crate::model::secret::hash(&format!("{}:{p}", user.name)));
        let same_password = print.is_none() || print == self.folder.load::<String>(&note);
        if now == wanted.join("|") && same_password {
            return Ok(Done::Unchanged);
        }
        let said = if now.is_empty() { "made" } else { "changed" }.to_owned();
        if self.is_plan() {
            return Ok(Done::Changed(said));
        }
        let verb = if now.is_empty() { "CREATE" } else { "ALTER" };
        let mut statement = format!("{verb} ROLE {} LOGIN", identifier(&user.name));
        for ((word, _), has) in ABILITIES.iter().zip(&wanted) {
            let _ = write!(statement, " {}{}", if *has == "t" { "" } else { "NO" }, word.to_uppercase());
        }
        if let Some(password) = &password {
            let _ = write!(statement, " PASSWORD {}", literal(password));
        }
        self.sql(ACCOUNT, &statement, stream).await?;
        if let Some(print) = print {
            self.folder.save(&note, &print)?;
        }
        Ok(Done::Changed(said))
    }

    /// Fills an empty database. The caller has made sure that the node's environment may be restored.
    pub(super) async fn database_restore(&self, restore: &DatabaseRestore, stream: &str) -> Result<Done, Fault> {
        let asked = "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
        let now = self.sql(&restore.database, asked, stream).await?;
        if now.text.trim() != "0" {
            return Ok(Done::Unchanged);
        }
        if !Path::new(&restore.source).is_file() {
            let what = format!("The dump {} is not there", restore.source);
            return Err(Fault::new("state-failed", what).next("Bring it with a `download` state before this one"));
        }
        if self.is_plan() {
            return Ok(Done::Changed(format!("would be filled from {}", restore.source)));
        }
        // What is in it belongs to whom the database belongs to, as if that role had made it.
        let asked = "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = current_database()";
        let owner = self.sql(&restore.database, asked, stream).await?;
        let env = BTreeMap::from([("PGOPTIONS".to_owned(), format!("-c role={}", owner.text.trim()))]);
        let custom = Path::new(&restore.source).extension().is_some_and(|e| e == "dump");
        let database = format!("--dbname={}", restore.database);
        // The dump comes through standard input, which the postgres account needs no right to open.
        let script = if custom {
            "exec pg_restore --exit-on-error --single-transaction --no-owner \"$1\" <\"$0\""
        } else {
            "exec psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --single-transaction \"$1\" <\"$0\""
        };
        let opened =
            "exec 3<\"$0\"; exec setpriv --reuid=postgres --regid=postgres --init-groups -- sh -c \"$2\" /dev/fd/3 \"$1\"";
        let command = ["sh", "-c", opened, &restore.source, &database, script].map(str::to_owned);
        let ended = self
            .run("restore", &command, Path::new("/"), &env, RESTORE, stream, "  ")
            .await?;
        if ended.is_good() {
            return Ok(Done::Changed(format!("filled from {}", restore.source)));
        }
        let what = format!("The database {} cannot be filled from {}", restore.database, restore.source);
        Err(ended.fault("fixture-failed", what, RESTORE))
    }

    async fn sql(&self, database: &str, statements: &str, stream: &str) -> Result<Ended, Fault> {
        let script = format!(
            "printf %s \"${STATEMENTS}\" | psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --dbname=\"$0\""
        );
        let mut env = BTreeMap::from([(STATEMENTS.to_owned(), statements.to_owned())]);
        let command = ["sh", "-c", &script, database].map(str::to_owned);
        let command = Surroundings::as_user(&command, Some(ACCOUNT), &mut env)?;
        let ended = self.run("psql", &command, Path::new("/"), &env, PATIENCE, stream, "").await?;
        if ended.is_good() {
            return Ok(ended);
        }
        let what = "The PostgreSQL server of this node does not do what it is asked".to_owned();
        Err(ended.fault("database-unavailable", what, PATIENCE))
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
