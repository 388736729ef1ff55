//! The examples of `MIGRATION.md`: ours run here, those of the other crates are compiled in `core/adapters/migration`.
#![allow(clippy::print_stdout, reason = "the examples print")]

mod common;

use std::error::Error;
use std::path::Path;

use common::{config, gateway};
use portlease::{MapRequest, Mapper, OpenPort, Transport, wait};

type Outcome = Result<(), Box<dyn Error>>;

#[test]
fn what_replaces_a_blocking_add_port_and_remove_port_maps_that_port_and_deletes_it() -> Outcome {
    let gateway = gateway();
    let config = config(&gateway);
    let mapper = Mapper::start(config)?;
    let web = mapper.map(MapRequest::new(8080, Transport::Tcp).external_port(80).exact().description("web"))?;
    println!("{:?}", wait(web.ready(None))?.external());
    let mapping = gateway.mappings().into_iter().next().ok_or("nothing is mapped")?;
    assert_eq!((mapping.external_port, mapping.internal.port()), (80, 8080));
    wait(web.stop(None));
    assert!(gateway.mappings().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_replaces_get_any_address_and_the_walk_through_the_table_tells_address_and_entries() -> Outcome {
    let gateway = gateway();
    let mapper = Mapper::start(config(&gateway))?;
    let game = mapper.map(MapRequest::new(4000, Transport::Udp).description("game"))?;
    let external = game.ready(None).await?.external();
    assert_eq!(external, Some("192.0.1.1:4000".parse()?));
    for entry in mapper.table().await? {
        println!("{} {}", entry.external_port, entry.internal_client);
        assert_eq!((entry.external_port, entry.internal_client.as_str()), (4000, "127.0.0.1"));
    }
    Ok(())
}

#[test]
fn what_replaces_requests_and_responses_of_nat_pmp_maps_and_deletes() -> Outcome {
    let gateway = gateway();
    let config = config(&gateway);
    let mapper = Mapper::start(config)?;
    let game = mapper.map(MapRequest::new(4000, Transport::Udp))?;
    println!("{:?}", wait(game.ready(None))?.external_port());
    assert_eq!(gateway.mappings().len(), 1);
    wait(game.stop(None));
    assert!(gateway.mappings().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_replaces_a_mapping_that_is_dropped_by_hand_maps_and_deletes() -> Outcome {
    let gateway = gateway();
    let config = config(&gateway);
    let game = portlease::open_with(config, MapRequest::new(4000, Transport::Udp), None).await?;
    println!("{:?}", game.snapshot().external());
    assert_eq!(gateway.mappings().len(), 1);
    game.stop(None).await;
    assert!(gateway.mappings().is_empty());
    Ok(())
}

#[tokio::test]
async fn what_replaces_the_watch_of_the_external_address_sees_it_come_and_go() -> Outcome {
    let gateway = gateway();
    let config = config(&gateway);
    let mut told = Vec::new();
    let port = OpenPort::begin(config, MapRequest::new(4000, Transport::Udp))?;
    let mut seen = port.snapshot();
    while let Ok(changed) = port.changed(seen.revision, None).await {
        println!("{:?}", changed.external());
        told.push(changed.external());
        if changed.active {
            port.begin_stop();
        }
        seen = changed;
    }
    assert!(told.contains(&Some("192.0.1.1:4000".parse()?)), "{told:?}");
    assert_eq!(told.last(), Some(&None));
    Ok(())
}

/// Whether these lines are among those, in this order, whatever their indentation.
fn is_excerpt(excerpt: &str, whole: &str) -> bool {
    let mut rest = whole.lines().map(str::trim);
    excerpt.lines().map(str::trim).all(|line| rest.any(|other| other == line))
}

#[test]
fn every_example_of_the_page_is_an_excerpt_of_code_that_is_compiled() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file");
    let page = read("MIGRATION.md");
    let compiled = [read("tests/migration.rs"), read("adapters/migration/src/lib.rs")];
    let blocks: Vec<_> = page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 12);
    for (number, block) in blocks.into_iter().enumerate() {
        // Theirs and ours take turns.
        assert!(is_excerpt(block, &compiled[1 - number % 2]), "{block}");
    }
}
