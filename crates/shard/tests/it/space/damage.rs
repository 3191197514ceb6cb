//! Stores that are damaged: put aside and made again, or refused; what is served is never less than what was answered.

use std::path::{Path, PathBuf};

use super::world::Engine;
use super::*;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).expect("a file");
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes).expect("a file");
}

#[tokio::test]
async fn a_store_whose_manifest_is_damaged_is_put_aside_and_made_again() {
    let world = World::new(Engine::Folder);
    let running = world.start().await;
    let _ = done(&running.space, commit(vec![put("a/1", "1")])).await;
    running.stop().await;
    for round in 0..2 {
        let store = world.store_of(1);
        // The file that names the manifest begins with its number, and opening has removed the others.
        let version = std::fs::read(store.join("current")).expect("there is one")[0];
        flip(&store.join(format!("v{version}")), 40);
        let running = world.start().await;
        let [rebuilt] = &running.rebuilt[..] else { panic!("one is put aside: {:?}", running.rebuilt) };
        assert_eq!((rebuilt.shard, &rebuilt.aside), (SHARD, &store.with_extension("damaged")));
        assert!(rebuilt.error.to_string().contains("is not what was written"), "{}", rebuilt.error);
        assert!(rebuilt.aside.is_dir(), "it is kept, in round {round}");
        assert_eq!(now(&running.space, "a/1").await, "\"1\"", "the log has everything");
        running.stop().await;
    }
    let running = world.start().await;
    assert_eq!(running.rebuilt, []);
    running.stop().await;
}

#[tokio::test]
async fn whatever_is_damaged_in_a_store_nothing_wrong_is_served() {
    let world = World::new(Engine::Folder);
    let running = world.start().await;
    let _ = done(&running.space, commit((0..50).map(|it| put(&format!("a/{it}"), "text")).collect())).await;
    running.stop().await;
    let kept = world.folder.path().join("kept");
    std::fs::rename(world.store_of(1), &kept).unwrap();
    let mut outcomes = [0; 2];
    for (number, file) in files(&kept).into_iter().enumerate() {
        let length = usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap();
        for part in 0..8 {
            let store = world.store_of(1);
            let _ = std::fs::remove_dir_all(&store);
            copy(&kept, &store);
            let at = (length * part / 8 + number).min(length.saturating_sub(1));
            if length == 0 {
                continue;
            }
            flip(&store.join(file.strip_prefix(&kept).unwrap()), at);
            let running = world.start().await;
            let is_rebuilt = !running.rebuilt.is_empty();
            let read = get(&running.space, "a/7", Consistency::Linearizable, None).await;
            let what = format!("byte {at} of {}", file.display());
            match read {
                Ok(reading) => assert_eq!(reading.value.as_deref(), Some("\"text\""), "{what}"),
                Err(error) => assert!(matches!(error, Error::Broken { .. }), "{what}: {error}"),
            }
            outcomes[usize::from(is_rebuilt)] += 1;
            running.stop().await;
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, &target).unwrap();
    }
}
