//! The TLS configuration of the HTTP client.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use reqwest::{
    Certificate, ClientBuilder, Identity, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::{ConsulSetupError, Settings};
use crate::sys::regular_file;

/// Configures a client for plain HTTP.
///
/// By default the client would load the authorities of the system, and fail if there are none (as in a minimal
/// container).
pub(super) fn without_tls(builder: ClientBuilder) -> ClientBuilder {
    builder.tls_certs_only([])
}

/// Configures a client for HTTPS to `url`. With `tls_server_name`, replaces the host in `url` by that name.
pub(super) fn configure(
    mut builder: ClientBuilder,
    settings: &Settings,
    url: &mut Url,
) -> Result<ClientBuilder, ConsulSetupError> {
    let authorities = root_certificates(settings)?;
    if !settings.ssl_verify {
        builder = without_tls(builder).tls_danger_accept_invalid_certs(true);
    } else if !authorities.is_empty() {
        builder = builder.tls_certs_only(authorities);
    }
    if let (Some(certificate), Some(key)) = (&settings.client_cert, &settings.client_key) {
        let mut pem = read_file("client_cert", certificate)?;
        pem.push(b'\n');
        pem.extend(read_file("client_key", key)?);
        let identity = Identity::from_pem(&pem).map_err(|error| file_error("client_cert", certificate, error))?;
        builder = builder.identity(identity);
    }
    if let Some(name) = &settings.tls_server_name {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let invalid = |_| ConsulSetupError::Invalid {
            setting: "tls_server_name",
            problem: format!("{name:?} is not a host name"),
        };
        url.set_host(Some(name)).map_err(invalid)?;
        builder = builder.dns_resolver(FixedHostResolver { host });
    }
    Ok(builder)
}

/// Resolves every name to the addresses of one host, because the URL contains the name that the certificate must have.
struct FixedHostResolver {
    host: String,
}

impl Resolve for FixedHostResolver {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

fn root_certificates(settings: &Settings) -> Result<Vec<Certificate>, ConsulSetupError> {
    let mut all = Vec::new();
    if let Some(file) = &settings.ca_cert {
        all.extend(certificates("ca_cert", file)?);
    }
    if let Some(dir) = &settings.ca_path {
        for file in files(dir).map_err(|error| file_error("ca_path", dir, error))? {
            all.extend(certificates("ca_path", &file)?);
        }
    }
    Ok(all)
}

/// The files in `dir`, and the symbolic links to files, in the order of their names.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<_> = entries.into_iter().filter(|path| path.is_file()).collect();
    files.sort();
    if files.is_empty() { Err(io::Error::other("it contains no files")) } else { Ok(files) }
}

fn certificates(setting: &'static str, file: &Path) -> Result<Vec<Certificate>, ConsulSetupError> {
    let found = Certificate::from_pem_bundle(&read_file(setting, file)?);
    let found = found.map_err(|error| file_error(setting, file, error))?;
    if found.is_empty() {
        return Err(file_error(setting, file, io::Error::other("it contains no PEM certificate")));
    }
    Ok(found)
}

fn read_file(setting: &'static str, file: &Path) -> Result<Vec<u8>, ConsulSetupError> {
    regular_file::read(file, regular_file::MAX_BYTES).map_err(|error| file_error(setting, file, error))
}

fn file_error(
    setting: &'static str,
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ConsulSetupError {
    ConsulSetupError::File { setting, path: path.to_owned(), source: source.into() }
}
