//! Databases in a real PostgreSQL server.

use greenroom::clock::{Ids, SystemIds};
use greenroom::providers::postgres::DatabaseServer;
use sqlx::{Connection, Executor};

#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
pub fn server() -> Option<(DatabaseServer, String)> {
    let Ok(url) = std::env::var("GREENROOM_TEST_POSTGRES") else {
        assert!(
            std::env::var_os("CI").is_none(),
            "GREENROOM_TEST_POSTGRES is not set; run tests/all, which starts a server"
        );
        eprintln!("no PostgreSQL: set GREENROOM_TEST_POSTGRES or run tests/all");
        return None;
    };
    Some((DatabaseServer::new(&url).unwrap(), format!("gr_stack_{:x}", SystemIds.next())))
}

#[tokio::test]
async fn a_database_is_its_roles_own_and_comes_and_goes_as_often_as_asked() {
    let Some((server, name)) = server() else { return };
    let password = "it's \\ a password";
    server.ensure_database(&name, &name, "another").await.unwrap();
    server.ensure_database(&name, &name, password).await.unwrap();
    assert!(server.exists(&name).await.unwrap());
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host(server.host())
        .port(server.port())
        .username(&name)
        .password(password)
        .database(&name);
    let mut session = sqlx::PgConnection::connect_with(&options).await.unwrap();
    session.execute("CREATE TABLE books (title TEXT)").await.unwrap();

    let other = format!("{name}_b");
    server.ensure_database(&other, &other, "x").await.unwrap();
    let foreign = sqlx::PgConnection::connect_with(&options.clone().database(&other)).await;
    assert!(foreign.is_err(), "one stack's role has no business in another's database");

    // With a session still open.
    for database in [&name, &name, &other] {
        server.drop_database(database, database).await.unwrap();
        assert!(!server.exists(database).await.unwrap());
    }
}

#[tokio::test]
async fn hostile_names_are_names() {
    let Some((server, name)) = server() else { return };
    let hostile = format!("{name}\"; DROP");
    server
        .ensure_database(&hostile, &hostile, "'; DROP ROLE x; --")
        .await
        .unwrap();
    assert!(server.exists(&hostile).await.unwrap());
    server.drop_database(&hostile, &hostile).await.unwrap();
    assert!(!server.exists(&hostile).await.unwrap());
}
