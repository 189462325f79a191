//! What must hold of every archive, read back from its files.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::pipeline::units::Span;

/// The files of an archive as text, by name.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = fs::read(&path).unwrap();
            let text = match path.extension().unwrap().to_str().unwrap() {
                "gz" => {
                    let mut text = String::new();
                    flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
                    text
                }
                "zst" => String::from_utf8(zstd::decode_all(&*bytes).unwrap()).unwrap(),
                _ => String::from_utf8(bytes).unwrap(),
            };
            (name, text)
        })
        .collect();
    files.sort();
    files
}

fn make(settings: &Settings) -> (Summary, Vec<(String, String)>) {
    let directory = tempfile::tempdir().unwrap();
    let summary = generate(settings, directory.path(), false, &mut |_| ()).unwrap();
    (summary, files(directory.path()))
}

fn lines(files: &[(String, String)]) -> Vec<Value> {
    let texts = files.iter().flat_map(|(_, text)| text.lines());
    texts.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn text<'a>(line: &'a Value, pointer: &str) -> &'a str {
    line.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {line}"))
}

fn range_ns(line: &Value) -> (i64, i64) {
    let at = |name: &str| line["time_range"][name].as_i64().unwrap_or_else(|| panic!("{name} in {line}"));
    (at("start_time_ns"), at("end_time_ns"))
}

fn busy(style: Style) -> Settings {
    Settings {
        assets: 30,
        annotations: 8_000,
        corrections: 0.1,
        deletions: 0.05,
        duplicates: 0.05,
        parts: 3,
        ..Settings::new(style)
    }
}

#[test]
fn the_same_settings_give_the_same_bytes_and_another_seed_does_not() {
    for style in [Style::Episodes, Style::Uniform] {
        let settings = Settings { embedding_dims: 3, annotations: 3_000, ..busy(style) };
        let (first, second) = (make(&settings), make(&settings));
        assert_eq!(first, second);
        assert_ne!(first.1, make(&Settings { seed: 2, ..settings }).1);
    }
}

/// The check that holds on any machine: the bytes themselves, by their hash.
#[test]
fn the_bytes_are_pinned() {
    let hash = |settings: &Settings| {
        let (_, files) = make(settings);
        xxhash_rust::xxh3::xxh3_64(files.iter().map(|(_, text)| text.as_str()).collect::<String>().as_bytes())
    };
    let settings = |style| Settings {
        modalities: Settings::MAX_MODALITIES,
        embedding_dims: 5,
        skew: 1.3,
        mean_length: Some(Span::from_millis(4_000)),
        fixture: true,
        bad_lines: 4,
        ..busy(style)
    };
    let episodes = Settings { disorder: 0.3, ..settings(Style::Episodes) };
    let changed =
        "the archives of existing seeds have changed: make examples/video-search/annotations again, and say so";
    assert_eq!(hash(&episodes), 0xaea2_3dbe_0247_18cb, "{changed}");
    assert_eq!(hash(&settings(Style::Uniform)), 0xc0eb_f42f_3ec8_a782, "{changed}");
}

#[test]
fn ids_are_new_unless_they_are_corrected_deleted_or_repeated() {
    for style in [Style::Episodes, Style::Uniform] {
        let (summary, files) = make(&busy(style));
        let (mut seen, mut rows) = (HashMap::new(), HashMap::new());
        let (mut corrections, mut deletions, mut duplicates) = (0, 0, 0);
        for (part, (_, content)) in files.iter().enumerate() {
            let mut recent: Vec<&str> = Vec::new();
            for line in content.lines() {
                let value: Value = serde_json::from_str(line).unwrap();
                let id = text(&value, "/annotation_id").to_owned();
                let known = seen.insert(id.clone(), part);
                assert!(known.is_none_or(|other| other == part), "{id} is in two files");
                let last = rows.get(&id).map(String::as_str);
                if recent.iter().rev().take(16).any(|other| *other == line) {
                    duplicates += 1;
                } else if value["deleted"] == true {
                    assert!(last.is_some(), "{id} is deleted before it was there, or twice");
                    deletions += 1;
                } else if known.is_some() {
                    assert!(last.is_some_and(|last| last != line), "{id} is corrected to nothing new");
                    corrections += 1;
                }
                if value["deleted"] == true {
                    rows.remove(&id)
                } else {
                    rows.insert(id, line.to_owned())
                };
                recent.push(line);
            }
        }
        assert_eq!((corrections, deletions), (summary.corrections, summary.deletions));
        assert_eq!(duplicates, summary.duplicates);
        assert_eq!((seen.len(), rows.len()), (summary.annotations as usize, summary.rows as usize));
    }
}

#[test]
fn shares_are_as_asked_for() {
    for style in [Style::Episodes, Style::Uniform] {
        for (corrections, deletions, duplicates) in [(0.0, 0.0, 0.0), (0.1, 0.05, 0.02), (0.4, 0.12, 0.3)] {
            let settings = Settings { corrections, deletions, duplicates, ..busy(style) };
            let (summary, _) = make(&settings);
            let share = |lines: u64| lines as f64 / summary.lines as f64;
            let pairs = [
                (summary.corrections, corrections),
                (summary.deletions, deletions),
                (summary.duplicates, duplicates),
                (summary.annotations, settings.fresh()),
            ];
            for (lines, expected) in pairs {
                assert!((share(lines) - expected).abs() < 0.015, "{style:?}: {} for {expected}", share(lines));
            }
        }
    }
}

#[test]
fn counts_add_up() {
    for style in [Style::Episodes, Style::Uniform] {
        let settings = Settings { bad_lines: 7, fixture: true, ..busy(style) };
        let (summary, files) = make(&settings);
        let kinds =
            [summary.annotations, summary.corrections, summary.deletions, summary.duplicates, summary.bad_lines];
        assert_eq!(summary.lines, kinds.iter().sum::<u64>());
        assert_eq!(summary.lines, files.iter().map(|(_, text)| text.lines().count() as u64).sum::<u64>());
        assert_eq!(summary.bytes, files.iter().map(|(_, text)| text.len() as u64).sum::<u64>());
        assert_eq!(summary.annotations, summary.types.iter().map(|kind| kind.annotations).sum::<u64>());
        assert_eq!((summary.bad_lines, summary.assets, summary.files.len()), (7, 31, 3));
        if style == Style::Uniform {
            assert_eq!(summary.lines, 8_000 + 2 + 7);
        }
    }
}

#[test]
fn episodes_have_about_as_many_lines_as_asked_for() {
    for (assets, annotations) in [(40, 20_000), (3, 50_000), (500, 2_000), (1, 1)] {
        let settings = Settings { assets, annotations, ..Settings::new(Style::Episodes) };
        assert_eq!(make(&settings).0.annotations, annotations);
    }
}

#[test]
fn fields_stand_in_order_and_ranges_are_valid() {
    for style in [Style::Episodes, Style::Uniform] {
        let settings = Settings { modalities: Settings::MAX_MODALITIES, embedding_dims: 8, ..busy(style) };
        let (_, files) = make(&settings);
        for line in lines(&files).iter().filter(|line| line.get("deleted").is_none()) {
            let mut fields = vec!["annotation_id", "type", "label"];
            fields.extend((line["type"] == "DIALOGUE_SEARCH").then_some("text"));
            fields.extend(["associated_ids", "confidence_score", "time_range", "embedding_vector", "model_version"]);
            assert!(line.as_object().unwrap().keys().eq(fields), "{line}");
            let (start_ns, end_ns) = range_ns(line);
            assert!(0 <= start_ns && start_ns < end_ns, "{line}");
            assert!(style == Style::Uniform || end_ns <= settings.span.nanos(), "{line}");
            assert!((0.0..1.0).contains(&line["confidence_score"].as_f64().unwrap()), "{line}");
            assert_eq!(line["embedding_vector"].as_array().unwrap().len(), 8);
        }
    }
}

#[test]
fn there_are_as_many_types_as_asked_for() {
    for style in [Style::Episodes, Style::Uniform] {
        for modalities in 1..=Settings::MAX_MODALITIES {
            let settings = Settings { modalities, annotations: 5_000, assets: 5, ..Settings::new(style) };
            let (summary, files) = make(&settings);
            let lines = lines(&files);
            let types: HashSet<&str> = lines.iter().map(|line| text(line, "/type")).collect();
            assert_eq!((types.len(), summary.types.len()), (modalities, modalities));
        }
    }
}

#[test]
fn mean_lengths_are_as_asked_for() {
    for (style, mean) in
        [(Style::Uniform, "3s"), (Style::Uniform, "30s"), (Style::Episodes, "3s"), (Style::Episodes, "500ms")]
    {
        let mean_length: Span = mean.parse().unwrap();
        let settings = Settings { mean_length: Some(mean_length), ..busy(style) };
        let (summary, _) = make(&settings);
        let free = summary.types.iter().filter(|kind| style == Style::Uniform || kind.name != "SCENE_SEARCH");
        let (sum, count) = free.fold((0, 0), |(sum, count), kind| {
            (sum + kind.mean_length_ns * kind.annotations.cast_signed(), count + kind.annotations.cast_signed())
        });
        let ratio = (sum / count) as f64 / mean_length.nanos() as f64;
        assert!((0.9..1.1).contains(&ratio), "{style:?} {mean}: {ratio}");
    }
}

#[test]
fn skew_makes_the_largest_asset_larger() {
    for style in [Style::Episodes, Style::Uniform] {
        let share = |skew| make(&Settings { skew, ..busy(style) }).0.largest_asset_share;
        let (equal, some, strong) = (share(0.0), share(0.7), share(2.0));
        assert!(equal < 0.05 && some > 2.0 * equal && strong > 2.0 * some, "{equal} {some} {strong}");
    }
}

#[test]
fn without_disorder_each_asset_is_in_the_order_of_time() {
    let steps_back = |disorder| {
        let settings = Settings { disorder, annotations: 10_000, ..Settings::new(Style::Episodes) };
        let mut last: HashMap<String, i64> = HashMap::new();
        let (_, files) = make(&settings);
        let back = lines(&files).into_iter().filter(|line| {
            let asset = text(line, "/associated_ids/ASSET_ID").to_owned();
            let (start_ns, _) = range_ns(line);
            last.insert(asset, start_ns).is_some_and(|last_ns| start_ns < last_ns)
        });
        back.count()
    };
    let (none, some, much) = (steps_back(0.0), steps_back(0.01), steps_back(1.0));
    assert_eq!(none, 0);
    assert!(100 < some && some < much, "{some} {much}");
}

#[test]
fn scenes_follow_each_other_without_a_gap() {
    let settings = Settings { assets: 8, annotations: 6_000, ..Settings::new(Style::Episodes) };
    let (_, files) = make(&settings);
    let mut scenes: HashMap<String, Vec<(i64, i64)>> = HashMap::new();
    for line in lines(&files).iter().filter(|line| line["type"] == "SCENE_SEARCH") {
        scenes.entry(text(line, "/associated_ids/ASSET_ID").to_owned()).or_default().push(range_ns(line));
    }
    assert_eq!(scenes.len(), 8);
    for ranges in scenes.values() {
        assert!(ranges.len() > 5);
        assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, settings.span.nanos()));
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
    }
}

#[test]
fn who_speaks_is_mostly_on_screen_and_several_people_are_seen_at_once() {
    let (_, files) = make(&Settings::new(Style::Episodes));
    let lines = lines(&files);
    let mut seen: HashMap<&str, Vec<(i64, i64, &str)>> = HashMap::new();
    for line in lines.iter().filter(|line| line["type"] == "CHARACTER_SEARCH") {
        let (start_ns, end_ns) = range_ns(line);
        let asset = seen.entry(text(line, "/associated_ids/ASSET_ID")).or_default();
        asset.push((start_ns, end_ns, text(line, "/label")));
    }
    let (mut spoken, mut on_screen, mut together) = (0, 0, 0);
    for line in lines.iter().filter(|line| line["type"] == "DIALOGUE_SEARCH") {
        let at_ns = range_ns(line).0;
        let here = seen[text(line, "/associated_ids/ASSET_ID")].iter();
        let here: HashSet<&str> =
            here.filter(|(start, end, _)| *start <= at_ns && at_ns < *end).map(|seen| seen.2).collect();
        spoken += 1;
        on_screen += usize::from(here.contains(text(line, "/label")));
        together += usize::from(here.len() > 1);
    }
    assert!(spoken > 5_000 && on_screen * 10 > spoken * 6, "{on_screen} of {spoken}");
    assert!(together * 4 > spoken, "{together} of {spoken}");
}

#[test]
fn bad_lines_are_bad_and_have_ids_of_their_own() {
    let settings = Settings { bad_lines: 4, annotations: 1_000, ..busy(Style::Episodes) };
    let (_, files) = make(&settings);
    let is_good = |line: &&str| {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return false };
        let at = |name: &str| value["time_range"][name].as_i64();
        value["deleted"] == true
            || value.pointer("/associated_ids/ASSET_ID").is_some()
                && matches!((at("start_time_ns"), at("end_time_ns")), (Some(start), Some(end)) if start <= end)
    };
    let (good, bad): (Vec<&str>, Vec<&str>) = files.iter().flat_map(|file| file.1.lines()).partition(is_good);
    assert_eq!(bad.len(), 4);
    assert!(files[1..].iter().all(|(_, text)| text.lines().all(|line| is_good(&line))));
    let id = |line: &str| line[..54].to_owned();
    let ids: HashSet<String> = good.into_iter().map(id).collect();
    assert!(bad.into_iter().all(|line| !ids.contains(&id(line))));
}

#[test]
fn compression_changes_nothing_but_the_size() {
    let base = Settings { annotations: 2_000, ..Settings::new(Style::Episodes) };
    let (plain, expected) = make(&base);
    for (compression, name) in [(Compression::Gz, "part-000.ndjson.gz"), (Compression::Zst, "part-000.ndjson.zst")] {
        let (summary, files) = make(&Settings { compression, ..base.clone() });
        assert_eq!((files[0].0.as_str(), &files[0].1), (name, &expected[0].1));
        assert_eq!(summary.bytes, plain.bytes);
        assert!(summary.files[0].bytes * 3 < summary.bytes);
    }
}

#[test]
fn a_directory_with_something_in_it_is_left_alone_unless_told_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let (path, settings) = (directory.path(), Settings { parts: 4, annotations: 100, ..Settings::new(Style::Uniform) });
    fs::write(path.join("part-list.ndjson"), "mine").unwrap();
    let refused = generate(&settings, path, false, &mut |_| ());
    assert!(matches!(refused, Err(GenerateError::NotEmpty { .. })));
    assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    generate(&settings, path, true, &mut |_| ()).unwrap();
    // A smaller archive leaves no file of the larger one behind.
    generate(&Settings { parts: 2, ..settings }, path, true, &mut |_| ()).unwrap();
    let names: Vec<String> = files(path).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["part-000.ndjson", "part-001.ndjson", "part-list.ndjson"]);
}

#[test]
fn a_directory_that_can_not_be_made_is_an_error_with_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = generate(&Settings::new(Style::Uniform), file.path(), false, &mut |_| ()).unwrap_err();
    let name = file.path().file_name().unwrap().to_str().unwrap();
    assert!(matches!(error, GenerateError::Io { action: "create", .. }) && error.to_string().contains(name));
}
