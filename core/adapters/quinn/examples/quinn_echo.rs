//! An echo server over QUIC at home, and a client for it somewhere on the internet.
//!
//!     cargo run --example quinn_echo serve CERTIFICATE           writes its certificate there; Enter ends it
//!     cargo run --example quinn_echo ask ADDRESS CERTIFICATE     on another machine

use std::error::Error;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use portlease::Config;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Endpoint, Incoming, ServerConfig};

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", certificate] => serve(certificate).await,
        ["ask", address, certificate] => ask(address.parse()?, certificate).await,
        _ => Err("usage: quinn_echo serve CERTIFICATE | ask ADDRESS CERTIFICATE".into()),
    }
}

async fn serve(certificate: &str) -> Outcome {
    let made = rcgen::generate_simple_self_signed(vec!["home".to_owned()])?;
    fs::write(certificate, made.cert.der())?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let server = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key.into())?;
    let (endpoint, port) = quinn_portlease::listen((Ipv4Addr::UNSPECIFIED, 0).into(), server, Config::default())?;
    let mapped = port.ready(None).await?;
    println!("{}", mapped.external().ok_or("the router does not know its address")?);

    let accepting = tokio::spawn({
        let endpoint = endpoint.clone();
        async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(async move { answer(incoming).await.inspect_err(|error| eprintln!("{error}")) });
            }
        }
    });
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    endpoint.close(0u32.into(), b"");
    accepting.await?;
    port.stop(None).await;
    Ok(())
}

/// Sends back what each stream brings, with the peer's address before it.
async fn answer(incoming: Incoming) -> Result<(), Box<dyn Error + Send + Sync>> {
    let connection = incoming.await?;
    while let Ok((mut to, mut from)) = connection.accept_bi().await {
        let heard = from.read_to_end(1024).await?;
        to.write_all(format!("{}: ", connection.remote_address().ip()).as_bytes()).await?;
        to.write_all(&heard).await?;
        to.finish()?;
    }
    Ok(())
}

async fn ask(address: SocketAddr, certificate: &str) -> Outcome {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(fs::read(certificate)?))?;
    let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
    let connection = endpoint.connect(address, "home")?.await?;
    let (mut to, mut from) = connection.open_bi().await?;
    to.write_all(b"hello").await?;
    to.finish()?;
    println!("{}", String::from_utf8(from.read_to_end(1024).await?)?);
    connection.close(0u32.into(), b"");
    endpoint.wait_idle().await;
    Ok(())
}
