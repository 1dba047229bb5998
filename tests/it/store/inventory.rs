//! Apps and stacks as rows.

use crate::support::database::TestDatabase;
use greenroom::clock::ManualClock;
use greenroom::model::actor::Actor;
use greenroom::model::descriptor::Descriptor;
use greenroom::model::id::{StackId, UserId};
use greenroom::model::stack::{Size, Stack, StackApp, StackSpec, StackState};
use greenroom::model::time::Timestamp;
use greenroom::store::stacks::StackQuery;
use greenroom::store::{Store, StoreError};
use std::collections::BTreeMap;

pub(crate) const TEST: Actor = Actor::System { part: "test" };

fn descriptor(name: &str, title: &str) -> Descriptor {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "greenroom/v1", "kind": "App",
        "metadata": {"name": name, "title": title},
        "spec": {"type": "service", "owners": {"dev": "a", "ops": "b"}, "repository": "/srv/git/x", "recipes": [{"name": "python-app"}]}
    }))
    .unwrap()
}

/// An account that owns things.
pub(crate) async fn owner(store: &Store) -> UserId {
    let id = UserId::from_bits(store.next_id());
    let name = id.as_str().to_owned();
    let mut connection = sqlx::any::AnyPoolOptions::new()
        .max_connections(1)
        .connect(&url_of(store))
        .await
        .unwrap()
        .acquire()
        .await
        .unwrap()
        .detach();
    sqlx::query("INSERT INTO users (id, name, role, created_at) VALUES ($1, $2, 'member', 0)")
        .bind(name.clone())
        .bind(name)
        .execute(&mut connection)
        .await
        .unwrap();
    id
}

fn url_of(store: &Store) -> String {
    store.url().to_owned()
}

pub(crate) fn stack(store: &Store, owner: &UserId, name: &str) -> Stack {
    Stack {
        id: StackId::from_bits(store.next_id()),
        name: name.parse().unwrap(),
        owner: owner.clone(),
        provider: "fake".into(),
        state: StackState::Building,
        spec: StackSpec {
            apps: vec![],
            data: BTreeMap::new(),
            size: Size::Small,
            bundle: None,
        },
        previous: None,
        node: None,
        links: vec![],
        fault: None,
        run: None,
        created_at: store.now(),
        ready_at: None,
        lease_until: store.now().plus(1000),
        lease_max: store.now().plus(5000),
        stopped_at: None,
        purpose: greenroom::model::stack::Purpose::Person,
        version: 1,
    }
}

#[tokio::test]
async fn a_saved_app_is_in_the_inventory_at_once_and_every_version_stays() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        for (version, title) in [(1, "First"), (2, "Second")] {
            let mut tx = store.write(&TEST, "app.save", "shop").await.unwrap();
            tx.save_app(&descriptor("shop", title), "{}", version, "system:test", "")
                .await
                .unwrap();
            assert!(
                version > 1 || store.inventory().apps.is_empty(),
                "nothing is seen before the commit"
            );
            tx.commit().await.unwrap();
            assert_eq!(
                store.inventory().app(&"shop".parse().unwrap()).unwrap().descriptor.title(),
                title
            );
        }
        let versions = store.app_versions(&"shop".parse().unwrap()).await.unwrap();
        assert_eq!(versions.iter().map(|v| v.version).collect::<Vec<_>>(), [2, 1]);
        let audit = store.audit(Some("shop"), None, 10).await.unwrap();
        assert_eq!(audit.len(), 2);
        assert!(audit[0].revision > audit[1].revision);
    }
}

#[tokio::test]
async fn the_same_version_cannot_be_saved_twice() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let mut tx = store.write(&TEST, "app.save", "shop").await.unwrap();
        tx.save_app(&descriptor("shop", "Mine"), "{}", 1, "a", "").await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = store.write(&TEST, "app.save", "shop").await.unwrap();
        let refused = tx.save_app(&descriptor("shop", "Theirs"), "{}", 1, "b", "").await;
        assert!(matches!(refused, Err(StoreError::Taken(_))), "{refused:?}");
        drop(tx);
        assert_eq!(
            store.inventory().app(&"shop".parse().unwrap()).unwrap().descriptor.title(),
            "Mine"
        );
    }
}

#[tokio::test]
async fn a_dropped_write_leaves_nothing_behind() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let mut tx = store.write(&TEST, "app.save", "shop").await.unwrap();
        tx.save_app(&descriptor("shop", "Lost"), "{}", 1, "a", "").await.unwrap();
        drop(tx);
        assert!(store.app_versions(&"shop".parse().unwrap()).await.unwrap().is_empty());
        assert!(store.audit(None, None, 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_stack_name_is_free_again_once_destruction_is_asked_for() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let owner = owner(&store).await;
        let mut first = stack(&store, &owner, "quiet-otter");
        let mut tx = store.write(&TEST, "stack.launch", "x").await.unwrap();
        tx.insert_stack(&first).await.unwrap();
        tx.commit().await.unwrap();

        let second = stack(&store, &owner, "quiet-otter");
        let mut tx = store.write(&TEST, "stack.launch", "x").await.unwrap();
        assert!(matches!(tx.insert_stack(&second).await, Err(StoreError::Taken(_))));
        drop(tx);

        first.state = StackState::Destroying;
        let mut tx = store.write(&TEST, "stack.destroy", "x").await.unwrap();
        tx.update_stack(&mut first).await.unwrap();
        tx.insert_stack(&second).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            store
                .stack_by_name(&"quiet-otter".parse().unwrap())
                .await
                .unwrap()
                .unwrap()
                .id,
            second.id
        );
    }
}

#[tokio::test]
async fn a_stale_write_to_a_stack_is_refused() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let owner = owner(&store).await;
        let mut mine = stack(&store, &owner, "amber-cue");
        let mut tx = store.journal().await.unwrap();
        tx.insert_stack(&mine).await.unwrap();
        tx.commit().await.unwrap();
        let mut theirs = mine.clone();
        theirs.lease_until = Timestamp(1);
        let mut tx = store.journal().await.unwrap();
        tx.update_stack(&mut theirs).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = store.journal().await.unwrap();
        assert!(matches!(tx.update_stack(&mut mine).await, Err(StoreError::Taken(_))));
    }
}

#[tokio::test]
async fn lists_page_and_count_and_leases_end_by_the_clock() {
    for database in TestDatabase::both().await {
        let clock = ManualClock::at(Timestamp(1_000_000));
        let store = database.open_at(clock.clone()).await;
        let owner = owner(&store).await;
        for name in ["one-stack", "two-stack", "three-stack"] {
            let mut tx = store.journal().await.unwrap();
            let mut stack = stack(&store, &owner, name);
            stack.spec.apps = vec![StackApp {
                app: "storefront".parse().unwrap(),
                descriptor_version: 1,
                revision: "main".into(),
                commit: "0123456789012345678901234567890123456789".parse().unwrap(),
                subject: r#"Say "app":"nothing""#.into(),
                chosen: true,
            }];
            tx.insert_stack(&stack).await.unwrap();
            tx.commit().await.unwrap();
        }
        let query = StackQuery {
            limit: 2,
            ..StackQuery::default()
        };
        let (page, total) = store.stacks(&query).await.unwrap();
        assert_eq!((page.len(), total), (2, 3));
        let (rest, _) = store
            .stacks(&StackQuery {
                before: Some(page[1].id.clone()),
                ..query
            })
            .await
            .unwrap();
        assert_eq!(rest.len(), 1);
        let found = StackQuery {
            text: Some("TWO".into()),
            limit: 10,
            ..StackQuery::default()
        };
        assert_eq!(store.stacks(&found).await.unwrap().1, 1);
        let count = async |text: &str, apps: &[&str]| {
            let query = StackQuery {
                text: Some(text.into()),
                apps: apps.iter().map(|app| app.parse().unwrap()).collect(),
                limit: 10,
                ..StackQuery::default()
            };
            let (found, total) = store.stacks(&query).await.unwrap();
            assert_eq!(i64::try_from(found.len()).unwrap(), total);
            total
        };
        assert_eq!(count("build", &[]).await, 3, "the state");
        assert_eq!(count("subject", &[]).await, 0, "not the names of fields");
        assert_eq!(count("nothing", &["storefront"]).await, 3, "one of these apps");
        assert_eq!(count("nothing", &["store"]).await, 0, "an app by its whole name");
        assert_eq!(count("storefront", &[]).await, 3, "an app that is registered no more");
        assert_eq!(count("main", &[]).await, 0, "not the revisions");

        assert!(store.stacks_past_lease(store.now()).await.unwrap().is_empty());
        clock.advance(1000);
        assert_eq!(store.stacks_past_lease(store.now()).await.unwrap().len(), 3);
    }
}
