//! The flags about front proxies: who may say in headers who calls.

use std::path::PathBuf;

use http::HeaderName;

use crate::authenticate::front_proxy::Fronts;

/// `--requestheader-*`, as kube-apiserver has them.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Front proxies")]
pub struct FrontFlags {
    /// CA of the certificates of front proxies, which say in headers who calls; extension servers get it, too
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of front proxies; default: all that the CA signed
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers with the user's name, the first that is there counts: X-Remote-User
    #[arg(long, value_delimiter = ',', value_parser = header, value_name = "HEADER,...")]
    pub requestheader_username_headers: Vec<String>,
    /// Headers with the user's uid: X-Remote-Uid
    #[arg(long, value_delimiter = ',', value_parser = header, value_name = "HEADER,...")]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers with the user's groups: X-Remote-Group
    #[arg(long, value_delimiter = ',', value_parser = header, value_name = "HEADER,...")]
    pub requestheader_group_headers: Vec<String>,
    /// What headers with the user's extras begin with: X-Remote-Extra-
    #[arg(long, value_delimiter = ',', value_parser = header, value_name = "PREFIX,...")]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

impl FrontFlags {
    /// What authentication believes.
    pub fn fronts(&self) -> Fronts {
        let headers = |names: &[String]| names.iter().filter_map(|name| name.parse().ok()).collect();
        let lower = |prefix: &String| prefix.to_ascii_lowercase();
        Fronts {
            allowed_names: self.requestheader_allowed_names.clone(),
            username_headers: headers(&self.requestheader_username_headers),
            uid_headers: headers(&self.requestheader_uid_headers),
            group_headers: headers(&self.requestheader_group_headers),
            extra_prefixes: self.requestheader_extra_headers_prefix.iter().map(lower).collect(),
        }
    }
}

fn header(name: &str) -> Result<String, String> {
    match name.parse::<HeaderName>() {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err("this cannot be the name of a header".to_owned()),
    }
}
