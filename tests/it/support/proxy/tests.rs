use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Longest a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing has to happen to count as silence.
const SILENCE: Duration = Duration::from_millis(100);

/// A server that says what it is told; counts the bytes it was told.
async fn echo() -> (SocketAddr, watch::Receiver<usize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, told) = watch::channel(0);
    let heard = Arc::new(heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                let mut chunk = [0; 1 << 16];
                while let Ok(n @ 1..) = stream.read(&mut chunk).await {
                    heard.send_modify(|all| *all += n);
                    stream.write_all(&chunk[..n]).await.unwrap();
                }
            });
        }
    });
    (address, told)
}

async fn echoing() -> (Proxy, watch::Receiver<usize>) {
    let (address, told) = echo().await;
    (Proxy::to(address).await, told)
}

async fn open(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// What comes back, as far as it comes.
async fn said(stream: &mut TcpStream, text: &str) -> Option<String> {
    stream.write_all(text.as_bytes()).await.ok()?;
    let mut answer = vec![0; text.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().ok()?;
    Some(String::from_utf8(answer).unwrap())
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 64])).await.unwrap();
    !matches!(read, Ok(1..))
}

#[tokio::test]
async fn what_is_said_passes_and_large_amounts_too() {
    let (proxy, _told) = echoing().await;
    let mut stream = open(&proxy).await;
    assert_eq!(said(&mut stream, "hello").await.as_deref(), Some("hello"));
    let (mut reader, mut writer) = stream.into_split();
    // More than all buffers between hold, and read only while it is written.
    let writing = tokio::spawn(async move { writer.write_all(&vec![7; 20 << 20]).await.map(|()| writer) });
    let mut answer = vec![0; 20 << 20];
    reader.read_exact(&mut answer).await.unwrap();
    assert!(answer.iter().all(|byte| *byte == 7));
    drop(writing.await.unwrap().unwrap());
}

#[tokio::test]
async fn refusing_and_cutting_concern_new_connections_and_those_there_are() {
    let (proxy, _told) = echoing().await;
    let mut old = open(&proxy).await;
    assert!(said(&mut old, "a").await.is_some());
    proxy.refuse();
    assert!(is_closed(&mut open(&proxy).await).await);
    assert!(said(&mut old, "b").await.is_some());
    proxy.cut();
    assert!(is_closed(&mut old).await);
    proxy.pass();
    assert!(said(&mut open(&proxy).await, "c").await.is_some());
}

#[tokio::test]
async fn nothing_comes_out_of_a_black_hole_until_it_is_over() {
    let (proxy, told) = echoing().await;
    let (mut used, mut idle) = (open(&proxy).await, open(&proxy).await);
    assert!(said(&mut used, "a").await.is_some() && said(&mut idle, "b").await.is_some());
    let before = *told.borrow();
    proxy.black_hole();
    let mut new = open(&proxy).await;
    for stream in [&mut used, &mut new] {
        stream.write_all(b"lost").await.unwrap();
        assert!(tokio::time::timeout(SILENCE, stream.read(&mut [0; 64])).await.is_err());
    }
    assert_eq!(*told.borrow(), before);
    proxy.pass();
    assert!(is_closed(&mut used).await && is_closed(&mut new).await);
    assert!(said(&mut idle, "nothing was lost here").await.is_some());
}

#[tokio::test]
async fn delays_add_up_per_direction() {
    let (proxy, _told) = echoing().await;
    let mut stream = open(&proxy).await;
    proxy.delay(Duration::from_millis(60), Duration::from_millis(90));
    let begin = Instant::now();
    assert!(said(&mut stream, "a").await.is_some());
    assert!(begin.elapsed() >= Duration::from_millis(150), "{:?}", begin.elapsed());
    proxy.pass();
    assert!(said(&mut stream, "b").await.is_some());
}

#[tokio::test]
async fn connections_are_bounded_and_end_with_the_proxy() {
    let (proxy, _told) = echoing().await;
    let mut streams = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = open(&proxy).await;
        assert!(said(&mut stream, "a").await.is_some());
        streams.push(stream);
    }
    assert_eq!(proxy.connections(), MAX_CONNECTIONS);
    assert!(is_closed(&mut open(&proxy).await).await);
    drop(streams.pop());
    let begin = Instant::now();
    while proxy.connections() == MAX_CONNECTIONS {
        assert!(begin.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    assert!(said(&mut open(&proxy).await, "b").await.is_some());
    drop(proxy);
    assert!(is_closed(&mut streams[0]).await);
}

fn post(operation: &str, body: &str) -> String {
    let length = body.len();
    format!("POST / HTTP/1.1\r\nx-amz-target: DynamoDB_20120810.{operation}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// One answer with a body, of the server's place.
async fn answer(stream: &mut TcpStream, request: &str) -> (String, serde_json::Value) {
    // In two parts: requests come as the network likes.
    let (one, two) = request.split_at(request.len() / 2);
    stream.write_all(one.as_bytes()).await.unwrap();
    tokio::task::yield_now().await;
    stream.write_all(two.as_bytes()).await.unwrap();
    let mut text = String::new();
    loop {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut chunk)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return (head.to_owned(), body);
        }
    }
}

#[tokio::test]
async fn throttling_is_answered_as_often_as_asked_for_on_a_connection_that_stays() {
    let (proxy, told) = echoing().await;
    let mut stream = open(&proxy).await;
    proxy.answer_throttling(2);
    for operation in ["GetItem", "Query"] {
        let (head, body) = answer(&mut stream, &post(operation, "{}")).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert_eq!(body["__type"], "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException");
    }
    assert_eq!(*told.borrow(), 0, "nothing reached the server");
    let request = post("GetItem", "{}");
    assert_eq!(said(&mut stream, &request).await, Some(request));
    assert_eq!((proxy.requests("GetItem"), proxy.requests("Query")), (2, 1));
}

#[tokio::test]
async fn only_transactions_are_canceled_with_a_reason_for_each_item() {
    let (proxy, _told) = echoing().await;
    let mut stream = open(&proxy).await;
    proxy.cancel_transactions(1, &["None", "TransactionConflict"]);
    let other = post("GetItem", "{}");
    assert_eq!(said(&mut stream, &other).await, Some(other));
    let request = post("TransactWriteItems", r#"{"TransactItems": [{}, {}, {}]}"#);
    let (_, body) = answer(&mut stream, &request).await;
    assert_eq!(body["__type"], "com.amazonaws.dynamodb.v20120810#TransactionCanceledException");
    let codes: Vec<_> = body["CancellationReasons"].as_array().unwrap().iter().map(|reason| &reason["Code"]).collect();
    assert_eq!(codes, ["None", "TransactionConflict", "None"]);
    assert_eq!(said(&mut stream, &request).await.as_ref(), Some(&request));
}

#[tokio::test]
async fn a_dropped_answer_is_that_of_a_request_the_server_got() {
    let (proxy, told) = echoing().await;
    proxy.drop_answers(1, "TransactWriteItems");
    let mut stream = open(&proxy).await;
    let request = post("TransactWriteItems", "{}");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(is_closed(&mut stream).await);
    assert_eq!(*told.borrow(), request.len());
    assert_eq!(said(&mut open(&proxy).await, &request).await.as_ref(), Some(&request));
}
