//! An import that failed in the middle is completed by repeating it.

use bedrock_cost_keeper::service::error::ServiceError;
use bedrock_cost_keeper::service::moving::{ImportError, Tally};
use bedrock_cost_keeper::storage::Tenants as _;

use super::{content, everything, export, filled, import, service};
use crate::support::faulty::{Fault, INTERNALS};

#[tokio::test]
async fn an_import_that_failed_is_completed_by_repeating_it() {
    let (source, file) = filled().await;
    for fault in [Fault::Unavailable, Fault::Backend, Fault::AnswerLost] {
        let target = service().await;
        target.store.fail_next_record(fault);
        let error = import(&target, &file).await.unwrap_err();
        assert!(matches!(error, ImportError::Service(_)), "{error}");
        // Something was done before: the first organization and what belongs to it.
        assert_eq!(target.store.list_orgs(None, 10).await.unwrap().len(), 1, "{fault:?}");
        let report = import(&target, &file).await.unwrap();
        assert!(report.is_complete(), "{fault:?}: {report:?}");
        assert_eq!(report.orgs, Tally { new: 1, unchanged: 1 });
        let lost = fault == Fault::AnswerLost;
        assert_eq!(report.totals.unchanged > 0, lost, "{fault:?}: {report:?}");
        assert_eq!(everything(&*target.store).await, everything(&*source.store).await);
        assert_eq!(content(&export(&target).await), content(&file));
    }
}

#[tokio::test]
async fn a_store_that_is_away_all_the_time_leaves_totals_out_and_says_so() {
    let (_, file) = filled().await;
    let target = service().await;
    target.store.fail_records(Fault::Unavailable);
    for _ in 0..2 {
        let error = import(&target, &file).await.unwrap_err();
        assert!(matches!(error, ImportError::Service(ServiceError::Unavailable(_))), "{error}");
        assert!(everything(&*target.store).await.daily.is_empty());
    }
    target.store.fail_records(None);
    assert!(import(&target, &file).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_damaged_file_is_refused_before_the_store_is_asked_anything() {
    let (_, file) = filled().await;
    let target = service().await;
    target.store.fail_reads(Fault::Backend);
    let error = import(&target, &file[..file.len() - 2]).await.unwrap_err().to_string();
    assert!(error.contains("cut off") && !INTERNALS.iter().any(|word| error.contains(word)), "{error}");
}
