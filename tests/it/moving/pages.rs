//! However much there is, only a page of it is held at once.

use std::io::{BufRead, Cursor, Read, Seek, SeekFrom, Write};

use bedrock_cost_keeper::domain::calendar::Day;
use bedrock_cost_keeper::domain::ids::Scope;
use bedrock_cost_keeper::service::moving::Tally;
use bedrock_cost_keeper::storage::{DailyTotal, Storage, Tenants as _};

use super::{admin, content, export, import, service};
use crate::support::samples::{acme, app_id, client, label, noon_plus, org, usage};

/// 20,000 daily totals: fifty days of forty applications with ten labels each.
async fn twenty_thousand(store: &dyn Storage) {
    store.create_org(&org(acme()), &client(Scope::org(acme()), 1)).await.unwrap();
    let mut day: Day = "2095-12-15".parse().unwrap();
    let mut n = 0_u128;
    for _ in 0..50 {
        let mut totals = Vec::new();
        for app in 0..40 {
            for of in 0..10 {
                n += 1;
                totals.push(DailyTotal {
                    day,
                    app_id: Some(app_id(&format!("app-{app}"))),
                    model_label: label(&format!("label-{of}")),
                    counters: usage("shop", n).counters(),
                    updated_at: noon_plus(i64::try_from(n).unwrap()),
                });
            }
        }
        store.import_totals(acme(), &totals).await.unwrap();
        day = day.next().unwrap();
    }
}

/// Takes note of the largest piece that is written at once.
#[derive(Default)]
struct Pieces {
    largest: usize,
    bytes: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.largest = self.largest.max(piece.len());
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file that is read forward only, but for going back to its start, and counts that.
struct Forward {
    file: Cursor<Vec<u8>>,
    rewinds: usize,
}

impl Read for Forward {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.file.read(buffer)
    }
}

impl BufRead for Forward {
    /// Never more than a small buffer at once.
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        let rest = self.file.fill_buf()?;
        Ok(&rest[..rest.len().min(100)])
    }

    fn consume(&mut self, amount: usize) {
        self.file.consume(amount);
    }
}

impl Seek for Forward {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        assert_eq!(to, SeekFrom::Start(0));
        self.rewinds += 1;
        self.file.seek(to)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_daily_totals_move_in_pages() {
    let source = service().await;
    twenty_thousand(&*source.store).await;
    let mut pieces = Pieces::default();
    let read = source.store.pages();
    let exported = source.app.services.export_everything(&admin(&source), &mut pieces).await.unwrap();
    assert_eq!(exported.totals, 20_000);
    assert!(pieces.largest < 1_000, "{} bytes at once", pieces.largest);
    let read = source.store.pages() - read;
    assert!((40..=41).contains(&read), "{read} pages");
    assert!(source.store.largest_page() <= 500);

    let target = service().await;
    let mut file = Forward { file: Cursor::new(pieces.bytes.clone()), rewinds: 0 };
    let import_once = async |file: &mut Forward, dry_run: bool| {
        target.app.services.import_everything(&admin(&target), file, dry_run).await.unwrap()
    };
    let report = import_once(&mut file, false).await;
    assert!(report.is_complete());
    assert_eq!(report.totals, Tally { new: 20_000, unchanged: 0 });
    assert_eq!(file.rewinds, 3, "verified, compared, imported");
    // Nothing was here, so nothing was read.
    assert_eq!(target.store.pages(), 0);
    // Repeated, everything is compared: each page is read about once, not once for each batch.
    for dry_run in [false, true] {
        let before = target.store.pages();
        let again = import_once(&mut file, dry_run).await;
        assert_eq!(again.totals, Tally { new: 0, unchanged: 20_000 });
        let read = target.store.pages() - before;
        assert!(read <= 80, "{read} pages");
    }
    assert!(target.store.largest_page() <= 512);
    assert_eq!(content(&export(&target).await), content(&pieces.bytes));
}

#[tokio::test]
async fn more_tenants_than_a_page_has_move_too() {
    let source = service().await;
    for n in 0..101_u128 {
        let id = crate::support::samples::org_id(n + 1);
        source.store.create_org(&org(id), &client(Scope::org(id), 1)).await.unwrap();
    }
    let id = crate::support::samples::org_id(50);
    for n in 0..201 {
        let name = format!("app-{n}");
        let scope = Scope::app(id, app_id(&name));
        source.store.create_app(&crate::support::samples::app(id, &name), &client(scope, 2)).await.unwrap();
    }
    let file = export(&source).await;
    let target = service().await;
    let report = import(&target, &file).await.unwrap();
    assert_eq!((report.orgs.new, report.apps.new), (101, 201));
    assert_eq!(content(&export(&target).await), content(&file));
}
