//! Flags of kube-apiserver whose behaviour is fixed here. They are taken, so that upstream's command lines start this
//! apiserver; one that asks for something else is refused, and one that asks for what is not there yet is named in the
//! log.

use clap::ArgAction;
use clap::builder::BoolishValueParser;

use crate::admit::plugins::{self, Plugins};

/// Flags without a choice.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Taken for the sake of kube-apiserver's command lines; without effect")]
pub struct Fixed {
    /// Privileged containers are allowed; false is refused
    #[arg(long, value_parser = only_true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "true")]
    allow_privileged: Option<bool>,
    /// Node and RBAC always decide, in this order
    #[arg(long, value_delimiter = ',', value_parser = ["Node", "RBAC"], value_name = "MODE,...")]
    authorization_mode: Vec<String>,
    /// Admission plugins that run beside the usual ones
    #[arg(long, value_delimiter = ',', value_parser = plugins::enabled_name, value_name = "PLUGIN,...",
        help_heading = "Admission")]
    enable_admission_plugins: Vec<String>,
    /// Admission plugins that do not run
    #[arg(long, value_delimiter = ',', value_parser = plugins::name, value_name = "PLUGIN,...",
        help_heading = "Admission")]
    disable_admission_plugins: Vec<String>,
    /// Bootstrap tokens are not taken yet
    #[arg(long, value_parser = BoolishValueParser::new(), action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_name = "true|false")]
    enable_bootstrap_token_auth: Option<bool>,
}

impl Fixed {
    /// The admission plugins that run.
    pub fn plugins(&self) -> Plugins {
        Plugins::new(&self.enable_admission_plugins, &self.disable_admission_plugins)
    }

    /// A line for each flag that was given and changes nothing, with the reason.
    pub fn without_effect(&self) -> Vec<String> {
        let given = [
            (self.allow_privileged.is_some(), "--allow-privileged", "privileged containers are always allowed"),
            (!self.authorization_mode.is_empty(), "--authorization-mode", "Node and RBAC always decide"),
            (self.enable_bootstrap_token_auth == Some(true), "--enable-bootstrap-token-auth", "not there yet"),
        ];
        given.iter().filter(|(is, ..)| *is).map(|(_, flag, why)| format!("{flag} has no effect: {why}")).collect()
    }
}

fn only_true(text: &str) -> Result<bool, String> {
    if text == "true" { Ok(true) } else { Err("only true is possible: privileged containers are allowed".to_owned()) }
}
