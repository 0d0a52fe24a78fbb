//! Posts that come between a join and its answer: a server delivers at once, and answers when the join has spread.

use darkchat_proto::{ChannelId, Post, PostId};
use std::collections::BTreeMap;

/// Posts kept in all: what a server's links bring in the three seconds that a spread may take, at chat's speed.
const POSTS: usize = 1_024;
/// Their content, in bytes.
const BYTES: usize = 4 << 20;

/// The early posts, by channel, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Early {
    posts: BTreeMap<ChannelId, Vec<(PostId, Post)>>,
    count: usize,
    bytes: usize,
}

impl Early {
    /// Keeps a post. `false` if there is no room.
    pub(super) fn push(&mut self, channel: ChannelId, id: PostId, post: &Post) -> bool {
        let len = post.content_len();
        if self.count >= POSTS || self.bytes.saturating_add(len) > BYTES {
            return false;
        }
        self.count += 1;
        self.bytes += len;
        self.posts.entry(channel).or_default().push((id, post.clone()));
        true
    }

    /// Takes a channel's posts out.
    pub(super) fn take(&mut self, channel: &ChannelId) -> Vec<(PostId, Post)> {
        let posts = self.posts.remove(channel).unwrap_or_default();
        self.count -= posts.len();
        self.bytes -= posts.iter().map(|(_, post)| post.content_len()).sum::<usize>();
        posts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkchat_proto::{Entry, EntryKind, UserId};

    #[test]
    fn early_posts_are_bounded_in_bytes_and_taking_them_makes_room() {
        let (channel, mut early) = (ChannelId::new([1; 32]), Early::default());
        let post = Post {
            author: UserId::new([2; 32]),
            channel,
            stream: 1,
            seq: 1,
            time_ms: 0,
            name: String::new(),
            entries: vec![Entry::new(EntryKind::Data, vec![0; 65_536].into())],
        };
        let kept = (0..100).filter(|_| early.push(channel, PostId::new([3; 16]), &post)).count();
        assert_eq!(kept, BYTES / 65_536);
        assert_eq!(early.take(&channel).len(), kept);
        assert_eq!((early.count, early.bytes, early.posts.len()), (0, 0, 0));
    }
}
