package io.gantry.checkpoint.haul;

import com.dynatrace.hash4j.hashing.Hashing;
import io.gantry.checkpoint.image.haul_content;
import io.gantry.checkpoint.image.haul_op;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.KernelException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/**
 * Reads regular files and sends the blocks that the other side does not have, data as data and holes as holes. A block is known by a 64-bit digest of its
 * content and of where its holes are. One thread.
 */
final class ContentSender implements AutoCloseable {
  static final int BLOCK_BYTES = 1 << 16;
  private static final int PIECE_BYTES = 1 << 20;

  private final Arena arena = Arena.ofShared();
  private final MemorySegment memory = arena.allocate(PIECE_BYTES, 4096);
  private final byte[] piece = new byte[PIECE_BYTES];
  /** Where data begins and ends in the piece, in turn. */
  private int[] extents = new int[16];

  private int extentCount;

  /**
   * Sends what differs.
   *
   * @param fd open for reading
   * @param anew whether the other side may not have its size
   * @param size as it was when the file was looked at; what has come behind it since is for the next pass
   * @return whether anything was sent
   */
  boolean send(Inode inode, int fd, long size, boolean anew, HaulWriter out) {
    int blocks = Math.toIntExact((size + BLOCK_BYTES - 1) / BLOCK_BYTES);
    boolean sent = anew || inode.size != size || inode.digests.length != blocks;
    if (sent) {
      inode.blocks(blocks);
      inode.size = size;
      out.op(haul_op.newBuilder().setId(inode.id).setContent(haul_content.newBuilder().setSize(size)), 0);
    }
    for (long at = 0; at < size; ) {
      long data = next(fd, at, size);
      if (data - at >= PIECE_BYTES) {
        // Whole pieces without data need not be read.
        long end = data == size ? size : data / PIECE_BYTES * PIECE_BYTES;
        sent |= hole(inode, at, end, out);
        at = end;
      } else {
        sent |= piece(inode, fd, at, (int) Math.min(PIECE_BYTES, size - at), out);
        at += PIECE_BYTES;
      }
    }
    return sent;
  }

  private static boolean hole(Inode inode, long from, long to, HaulWriter out) {
    boolean sent = false;
    for (long at = from; at < to; at += BLOCK_BYTES) {
      int block = (int) (at / BLOCK_BYTES);
      if (inode.digests[block] != Inode.HOLE) {
        punch(inode, at, Math.min(BLOCK_BYTES, to - at), out);
        remember(inode, block, Inode.HOLE);
        inode.digestsSentIn[block] = out.sequence();
        sent = true;
      }
    }
    return sent;
  }

  private static void punch(Inode inode, long at, long bytes, HaulWriter out) {
    out.op(haul_op.newBuilder().setId(inode.id).setContent(haul_content.newBuilder().setSize(inode.size).setOffset(at).setHole(bytes)), 0);
  }

  /** Not sent before its whole piece is. */
  private static void remember(Inode inode, int block, long digest) {
    inode.digests[block] = digest;
    inode.digestsSentIn[block] = Inode.NEVER;
  }

  private boolean piece(Inode inode, int fd, long at, int length, HaulWriter out) {
    findExtents(fd, at, length);
    int filled = read(fd, at, length);
    boolean sent = false;
    int runFrom = -1;
    for (int from = 0; from < length; from += BLOCK_BYTES) {
      int to = Math.min(length, from + BLOCK_BYTES);
      int block = (int) ((at + from) / BLOCK_BYTES);
      boolean cut = to > filled;
      long digest = cut ? Inode.UNKNOWN : digest(from, to);
      long known = inode.digests[block];
      boolean same = digest == known && digest != Inode.UNKNOWN;
      boolean full = !cut && digest != Inode.HOLE && isFull(from, to);
      if (runFrom >= 0 && (same || !full)) {
        out.data(inode.id, inode.size, at + runFrom, piece, runFrom, from - runFrom);
        runFrom = -1;
      }
      if (!same) {
        // What was cut off meanwhile makes another change, which the next pass sees.
        sent = true;
        if (full && runFrom < 0) {
          runFrom = from;
        } else if (!full && !cut) {
          mixed(inode, at, from, to, known, out);
        }
        remember(inode, block, digest);
      }
    }
    if (runFrom >= 0) {
      out.data(inode.id, inode.size, at + runFrom, piece, runFrom, length - runFrom);
    }
    for (int block = (int) (at / BLOCK_BYTES); sent && block < inode.digests.length && (long) block * BLOCK_BYTES < at + length; block++) {
      if (inode.digestsSentIn[block] == Inode.NEVER) {
        inode.digestsSentIn[block] = out.sequence();
      }
    }
    return sent;
  }

  /** A block with holes, which the other side's block may not have. */
  private void mixed(Inode inode, long at, int from, int to, long known, HaulWriter out) {
    int position = from;
    for (int i = 0; i < extentCount && position < to; i += 2) {
      int begin = Math.max(position, Math.min(extents[i], to));
      int end = Math.max(begin, Math.min(extents[i + 1], to));
      if (begin > position && known != Inode.HOLE) {
        punch(inode, at + position, begin - position, out);
      }
      if (end > begin) {
        out.data(inode.id, inode.size, at + begin, piece, begin, end - begin);
      }
      position = Math.max(position, end > begin ? end : position);
    }
    if (position < to && known != Inode.HOLE) {
      punch(inode, at + position, to - position, out);
    }
  }

  private boolean isFull(int from, int to) {
    for (int i = 0; i < extentCount; i += 2) {
      if (extents[i] <= from && to <= extents[i + 1]) {
        return true;
      }
    }
    return false;
  }

  private long digest(int from, int to) {
    long layout = 0;
    boolean data = false;
    for (int i = 0; i < extentCount; i += 2) {
      int begin = Math.max(from, extents[i]);
      int end = Math.min(to, extents[i + 1]);
      if (begin < end) {
        data = true;
        layout = layout * 31 + begin - from;
        layout = layout * 31 + end - from;
      }
    }
    return data ? (Hashing.xxh3_64().hashBytesToLong(piece, from, to - from) ^ layout * 0x9e37_79b9_7f4a_7c15L) | 1 : Inode.HOLE;
  }

  private void findExtents(int fd, long at, int length) {
    extentCount = 0;
    long end = at + length;
    for (long position = at; position < end; ) {
      long data = next(fd, position, end);
      if (data >= end) {
        return;
      }
      long hole = Fd.seek(fd, data, Fd.SEEK_HOLE);
      position = hole <= data ? end : Math.min(hole, end);
      if (extentCount == extents.length) {
        extents = Arrays.copyOf(extents, 2 * extentCount);
      }
      extents[extentCount++] = (int) (data - at);
      extents[extentCount++] = (int) (position - at);
    }
  }

  private static long next(int fd, long at, long end) {
    long data = Fd.seek(fd, at, Fd.SEEK_DATA);
    return data < 0 ? end : Math.min(data, end);
  }

  private int read(int fd, long at, int length) {
    int filled = 0;
    while (filled < length) {
      long count = Fd.pread(fd, memory.asSlice(filled, length - filled), at + filled);
      if (count < 0) {
        throw new KernelException("pread(descriptor " + fd + ")", (int) -count);
      }
      if (count == 0) {
        break;
      }
      filled += (int) count;
    }
    MemorySegment.copy(memory, ValueLayout.JAVA_BYTE, 0, piece, 0, filled);
    return filled;
  }

  @Override
  public void close() {
    arena.close();
  }
}
