//! Bodies for bytes that a link or a relay brings.

use bytes::Bytes;
use darkchat_proto::limits::{MAX_ENTRIES, MAX_FRAME, MAX_PAYLOAD, MAX_SHARD_TAGS};
use darkchat_proto::{
    Bundle, Content, DecodeError, Deliver, Frame, FrameStream, InterestShard, Post, ServerRecord, Signed,
    Traced,
};

/// A frame decodes or is refused, and what decoded has one encoding that decodes to the same.
pub fn frame_decode(data: &[u8]) {
    let Ok(frame) = Frame::decode(Bytes::copy_from_slice(data)) else { return };
    let encoded = frame.encode();
    assert!(encoded.len() <= MAX_FRAME, "a frame grew by its round trip: {}", encoded.len());
    assert_eq!(Frame::decode(encoded.clone()).as_ref(), Ok(&frame));

    let (head, body) = frame.encode_split();
    let mut stream = FrameStream::default();
    stream.push(head);
    stream.push(body);
    assert_eq!(stream.next_frame(), Ok(Some(encoded)));
    assert!(stream.is_between_frames());
}

/// A run of bytes gives the same frames and the same error, however it is split.
///
/// The first byte says how long the pieces are; the rest is the run.
pub fn frame_stream(data: &[u8]) {
    let Some((&piece, run)) = data.split_first() else { return };
    let piece = usize::from(piece).max(1);
    let whole = frames([run].into_iter());
    let split = frames(run.chunks(piece));
    assert_eq!(whole, split);
}

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Result<(), DecodeError>) {
    let mut stream = FrameStream::default();
    let mut frames = Vec::new();
    for piece in pieces {
        stream.push(Bytes::copy_from_slice(piece));
        loop {
            match stream.next_frame() {
                Ok(Some(frame)) => {
                    assert!((1..=MAX_FRAME).contains(&frame.len()));
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(stream.next_frame().as_ref(), Err(&error), "an error stays");
                    return (frames, Err(error));
                }
            }
        }
    }
    (frames, Ok(()))
}

/// What a channel's members get, through envelope and body, stays within the bounds of a post.
pub fn post(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    if let Ok(deliver) = Deliver::decode(data.clone()) {
        assert_eq!(Deliver::decode(deliver.encode()).as_ref(), Ok(&deliver));
        if let Content::Public(signed) = deliver.content {
            assert_eq!(Signed::decode(signed.encode()).as_ref(), Ok(&signed));
            body(signed.body);
        }
    }
    // Bodies are reached directly too: a mutated envelope rarely leaves one whole.
    body(data);
}

fn body(bytes: Bytes) {
    let Ok(post) = Post::decode(bytes) else { return };
    assert!((1..=MAX_ENTRIES).contains(&post.entries.len()));
    assert!(post.content_len() <= MAX_PAYLOAD);
    assert!(post.seq > 0 && post.next_seq() > post.seq);
    assert_eq!(Post::decode(post.encode()).as_ref(), Ok(&post));
}

/// What servers flood: a record, a shard, a bundle; or what one answers to a probe. The first byte says which.
pub fn peer_record(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let data = Bytes::copy_from_slice(data);
    match which % 3 {
        0 => {
            if let Ok(record) = ServerRecord::decode(data) {
                assert_eq!(ServerRecord::decode(record.encode()).as_ref(), Ok(&record));
            }
        }
        1 => {
            if let Ok(shard) = InterestShard::decode(data) {
                assert!(shard.tags.len() <= MAX_SHARD_TAGS);
                assert_eq!(InterestShard::decode(shard.encode()).as_ref(), Ok(&shard));
            }
        }
        _ => {
            if let Ok(bundle) = Bundle::decode(data.clone()) {
                assert_eq!(Bundle::decode(bundle.encode()).as_ref(), Ok(&bundle));
            }
            if let Ok(traced) = Traced::decode(data) {
                assert_eq!(Traced::decode(traced.encode()).as_ref(), Ok(&traced));
            }
        }
    }
}
