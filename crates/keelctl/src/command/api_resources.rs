//! `keelctl api-resources` and `keelctl api-versions`

use crate::cli::Global;
use crate::output::tabs;
use crate::remote::Remote;
use crate::resource::Resource;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this group; core with --api-group=
    #[arg(long)]
    pub api_group: Option<String>,
    /// Only namespaced ones (true) or only cluster-wide ones (false)
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub namespaced: Option<bool>,
    /// Only those with these verbs
    #[arg(long, value_delimiter = ',')]
    pub verbs: Vec<String>,
    /// Only those in these categories
    #[arg(long, value_delimiter = ',')]
    pub categories: Vec<String>,
    /// wide or name
    #[arg(short = 'o', long, value_parser = ["wide", "name"])]
    pub output: Option<String>,
    /// Sort by name or kind
    #[arg(long, value_parser = ["name", "kind"])]
    pub sort_by: Option<String>,
    /// No headings
    #[arg(long)]
    pub no_headers: bool,
}

#[derive(Debug, clap::Args)]
pub struct VersionsArgs {}

pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let catalog = Remote::connect(global)?.catalog().await?;
    let wanted = |row: &&Resource| {
        args.api_group.as_ref().is_none_or(|group| *group == row.group)
            && args.namespaced.is_none_or(|namespaced| namespaced == row.namespaced)
            && args.verbs.iter().all(|verb| row.verbs.contains(verb))
            && args.categories.iter().all(|category| row.categories.contains(category))
    };
    let mut rows: Vec<&Resource> = catalog.0.iter().filter(wanted).collect();
    match args.sort_by.as_deref() {
        Some("kind") => rows.sort_by_key(|row| row.kind.clone()),
        Some(_) => rows.sort_by_key(|row| row.plural.clone()),
        None => rows.sort_by_key(|row| (row.group.clone(), row.plural.clone())),
    }
    Ok(crate::terminal::print(&render(&rows, &args))?)
}

fn render(rows: &[&Resource], args: &Args) -> String {
    if args.output.as_deref() == Some("name") {
        return rows.iter().map(|row| row.plural_group() + "\n").collect();
    }
    let wide = args.output.as_deref() == Some("wide");
    let mut text = String::new();
    if !args.no_headers {
        text.push_str("NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND");
        text.push_str(if wide { "\tVERBS\tCATEGORIES\n" } else { "\n" });
    }
    for row in rows {
        text.push_str(&format!(
            "{}\t{}\t{}\t{}\t{}",
            row.plural,
            row.short_names.join(","),
            row.api_version(),
            row.namespaced,
            row.kind
        ));
        if wide {
            text.push_str(&format!("\t{}\t{}", row.verbs.join(","), row.categories.join(",")));
        }
        text.push('\n');
    }
    tabs::table(&text)
}

pub async fn versions(global: &Global, _args: VersionsArgs) -> anyhow::Result<()> {
    let catalog = Remote::connect(global)?.catalog().await?;
    let mut all: Vec<String> = catalog.0.iter().map(Resource::api_version).collect();
    all.sort();
    all.dedup();
    Ok(crate::terminal::print(&all.iter().map(|version| format!("{version}\n")).collect::<String>())?)
}
