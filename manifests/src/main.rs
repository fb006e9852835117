//! Renders the manifests, and makes container images.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use statusguard_manifests::image::{self, Image};

/// Renders `manifests/rendered/` from code, and makes container images.
#[derive(Parser)]
#[command(about)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Change nothing; exit 1 if a file below `manifests/rendered/` differs from what the code renders.
    Check,
    /// Make the files below `manifests/rendered/` what the code renders.
    Write,
    /// Build `statusguard` as a static program and write it as a container image, without a container engine.
    Image(ImageArgs),
}

#[derive(Parser)]
struct ImageArgs {
    /// OCI archive to write, as `ctr images import`, `kind load image-archive` and `skopeo` read it.
    #[arg(long, short, value_name = "FILE", default_value = "statusguard.tar")]
    output: PathBuf,
    /// Name and tag of the image.
    #[arg(long, value_name = "NAME", default_value = statusguard_manifests::IMAGE)]
    reference: String,
    /// A static program that is there already; nothing is built then.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Commit that the program was built from, for the label `org.opencontainers.image.revision`.
    #[arg(long, value_name = "COMMIT")]
    revision: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rendered");
    let (differences, failed) = match Args::parse().task {
        Task::Check => {
            let differences = statusguard_manifests::check(&root)?;
            let failed = !differences.is_empty();
            (differences, failed)
        }
        Task::Write => (statusguard_manifests::write(&root)?, false),
        Task::Image(args) => {
            make_image(&args)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    for difference in &differences {
        println!("{difference}");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn make_image(ImageArgs { output, reference, program, revision }: &ImageArgs) -> anyhow::Result<()> {
    let program = match program {
        Some(program) => program.clone(),
        None => build()?,
    };
    let labels: Vec<_> = revision.iter().map(|commit| ("org.opencontainers.image.revision", commit.as_str())).collect();
    image::write(&Image { program: &program, name: "statusguard", reference, labels: &labels }, output)
        .with_context(|| format!("writing the image {}", output.display()))?;
    let size = |path: &Path| std::fs::metadata(path).map(|file| file.len() as f64 / f64::from(1 << 20));
    let [program, archive] = [size(&program)?, size(output)?];
    println!("{}: {reference}, {archive:.1} MiB; the program in it has {program:.1} MiB", output.display());
    Ok(())
}

/// Builds the program. Its dependencies are named in it (`cargo audit bin` reads them) where `cargo auditable` is there.
fn build() -> anyhow::Result<PathBuf> {
    let target = match std::env::consts::ARCH {
        arch @ ("x86_64" | "aarch64") => format!("{arch}-unknown-linux-gnu"),
        arch => anyhow::bail!("there are no images for {arch}; name a program for x86_64 or aarch64 with --program"),
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate has a workspace")?;
    let cargo = || std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let auditable = cargo().args(["auditable", "--version"]).output().is_ok_and(|ran| ran.status.success());
    let mut build = cargo();
    if auditable {
        build.arg("auditable");
    } else {
        eprintln!("the image will not name its dependencies: for that, `cargo install cargo-auditable --locked`");
    }
    build
        .args(["build", "--locked", "--profile=image", "--bin=statusguard", "--target", &target])
        .current_dir(workspace)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    anyhow::ensure!(build.status().context("running cargo")?.success(), "the program could not be built");
    let metadata = cargo().args(["metadata", "--format-version=1", "--no-deps"]).current_dir(workspace).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).context("reading cargo's metadata")?;
    let folder = metadata["target_directory"].as_str().context("cargo names no target directory")?;
    Ok(Path::new(folder).join(target).join("image/statusguard"))
}
