//! What cargo knows of the workspace: its crates with their direct dependencies, and everything a crate's build pulls in.

use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::repo;

/// A crate of the workspace.
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Path of its manifest from the repository's root, and the manifest's text.
    pub(crate) manifest: String,
    pub(crate) manifest_text: String,
    /// Crates of the workspace that it depends on directly.
    pub(crate) dependencies: Vec<Dependency>,
}

pub(crate) struct Dependency {
    pub(crate) name: String,
    /// For tests, examples and benchmarks only.
    pub(crate) is_dev: bool,
}

/// Every crate of the workspace.
pub(crate) fn crates() -> Vec<Crate> {
    let root = repo::root();
    let metadata = MetadataCommand::new()
        .cargo_path(env!("CARGO"))
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata describes the workspace");
    let is_ours = |name: &str| metadata.packages.iter().any(|package| package.name == name);
    let describe = |package: &cargo_metadata::Package| {
        let manifest = package.manifest_path.strip_prefix(&root).expect("a crate lies under the root");
        let dependencies = package.dependencies.iter().filter(|dependency| is_ours(&dependency.name));
        Crate {
            name: package.name.to_string(),
            manifest: manifest.to_string(),
            manifest_text: std::fs::read_to_string(&package.manifest_path).expect("a manifest can be read"),
            dependencies: dependencies
                .map(|dependency| Dependency {
                    name: dependency.name.clone(),
                    is_dev: dependency.kind == DependencyKind::Development,
                })
                .collect(),
        }
    };
    metadata.packages.iter().map(describe).collect()
}

/// Everything that a build of this crate alone links, as `cargo tree` prints it with `--prefix depth`: the features are
/// those this crate asks for, not those that the rest of the workspace adds. A line: `depth name version features=a,b`.
pub(crate) fn tree(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "depth",
            "--format",
            " {p} features={f}",
        ])
        .current_dir(repo::root())
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo tree prints UTF-8")
}
