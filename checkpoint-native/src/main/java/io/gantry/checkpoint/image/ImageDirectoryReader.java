package io.gantry.checkpoint.image;

import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReceiver;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Feeds what {@link ImageDirectoryWriter} took down to a receiver: the same pages and messages in the same order. A directory by CRIU
 * is fed as one round without digests. One thread.
 */
public final class ImageDirectoryReader {
  /** At least what {@link ImageDirectoryWriter#runsMax} gives at once. */
  private static final int RUNS_MAX = 1 << 16;

  private final Path directory;
  private final List<stream_event> events;
  private final Optional<CriuDirectory> foreign;

  private ImageDirectoryReader(Path directory, List<stream_event> events, Optional<CriuDirectory> foreign) {
    this.directory = directory;
    this.events = events;
    this.foreign = foreign;
  }

  /**
   * Verifies every file.
   *
   * @throws CheckpointException saying which file is missing, damaged, cut off or from a newer version, before anything was done
   */
  public static ImageDirectoryReader open(Path directory) {
    if (!Files.isDirectory(directory)) {
      throw new CheckpointException(directory + " is not a directory");
    }
    if (CriuDirectory.is(directory)) {
      return new ImageDirectoryReader(directory, List.of(), Optional.of(CriuDirectory.open(directory)));
    }
    ImageManifest.verify(directory, ImageDirectoryWriter.FORMAT_VERSION);
    var stream = directory.resolve(ImageFile.STREAM.fileName());
    return new ImageDirectoryReader(directory, ImageFile.STREAM.read(stream, stream_event::parseFrom), Optional.empty());
  }

  /** Whether CRIU has written it: then nothing comes with a digest that says what the restored processes have to hold. */
  public boolean isByCriu() {
    return foreign.isPresent();
  }

  /** The process state that the directory holds. */
  public final_state state() {
    if (foreign.isPresent()) {
      return foreign.get().state();
    }
    for (stream_event event : events) {
      if (event.getMessageType() == StreamMessage.FINAL_STATE) {
        try {
          var state = final_state.parseFrom(event.getMessage());
          if (state.getProcessesCount() > 0 && state.getProcessesList().stream().allMatch(process -> process.getThreadsCount() > 0)) {
            return state;
          }
        } catch (InvalidProtocolBufferException e) {
          throw notUnderstood(e);
        }
      }
    }
    throw new CheckpointException(directory + " holds no process state");
  }

  /** Calls the receiver for everything, in order. */
  public void feed(PageReceiver receiver) {
    try (var arena = Arena.ofConfined()) {
      if (foreign.isPresent()) {
        foreign.get().feed(receiver);
        return;
      }
      var names = new SpaceNames(lastRound());
      var kernelCode = kernelCode();
      Map<Integer, Space> spaces = new HashMap<>();
      Map<Integer, Space> earlier = new HashMap<>();
      for (stream_event event : events) {
        if (event.hasPagemapEntries()) {
          var known = event.getEarlier() ? earlier : spaces;
          var space = known.get(event.getSpace());
          if (space == null) {
            space = Space.open(event.getEarlier() ? directory.resolve(SpaceNames.PARENT) : directory, names, event.getSpace(), arena);
            space.kernelCode = kernelCode.getOrDefault(event.getSpace(), vma_entry.getDefaultInstance());
            known.put(event.getSpace(), space);
          }
          space.feed(event.getPagemapEntries(), receiver);
        } else if (event.hasZeroPages()) {
          receiver.zero(event.getSpace(), event.getZeroAddress(), event.getZeroPages());
        } else {
          receiver.message(event.getMessageType(), event.getMessage().toByteArray());
        }
      }
    } catch (InvalidProtocolBufferException e) {
      throw notUnderstood(e);
    } catch (IOException e) {
      throw new CheckpointException("reading " + directory + " failed: " + e, e);
    }
  }

  private round_begin lastRound() throws InvalidProtocolBufferException {
    var last = round_begin.getDefaultInstance();
    for (stream_event event : events) {
      if (event.getMessageType() == StreamMessage.ROUND_BEGIN) {
        last = round_begin.parser().parsePartialFrom(event.getMessage());
      }
    }
    return last;
  }

  /** Where in each space pages lie that nobody has sent: CRIU wants to find the vdso. */
  private Map<Integer, vma_entry> kernelCode() throws InvalidProtocolBufferException {
    Map<Integer, vma_entry> found = new HashMap<>();
    for (stream_event event : events) {
      if (event.getMessageType() == StreamMessage.ROUND_BEGIN) {
        for (round_process process : round_begin.parseFrom(event.getMessage()).getProcessesList()) {
          VmaImages.vdso(process.getMm()).ifPresent(vdso -> found.put(process.getSpace(), vdso));
        }
      }
    }
    return found;
  }

  private CheckpointException notUnderstood(InvalidProtocolBufferException e) {
    return new CheckpointException(directory + " holds a message that cannot be understood: " + e.getMessage(), e);
  }

  /** The pages of one space, mapped, and where in them the stream has come to. */
  private static final class Space {
    private final int number;
    private final Path file;
    private final Iterator<pagemap_entry> index;
    private final MemorySegment pages;
    private vma_entry kernelCode = vma_entry.getDefaultInstance();
    private long position;

    private Space(int number, Path indexFile, Path pagesFile, Arena arena) throws IOException {
      this.number = number;
      this.file = indexFile;
      var entries = ImageFile.PAGEMAP.read(indexFile, bytes -> bytes);
      index = new Entries(indexFile, entries.listIterator(Math.min(1, entries.size())));
      try (var channel = FileChannel.open(pagesFile)) {
        pages = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
      }
    }

    static Space open(Path directory, SpaceNames names, int number, Arena arena) throws IOException {
      var asSent = directory.resolve(SpaceNames.streamPagemap(number));
      return Files.exists(asSent)
          ? new Space(number, asSent, directory.resolve(SpaceNames.streamPages(number)), arena)
          : new Space(number, directory.resolve(names.pagemap(number)), directory.resolve(SpaceNames.pages(number)), arena);
    }

    void feed(int runs, PageReceiver receiver) {
      if (runs < 0 || runs > RUNS_MAX) {
        throw new CheckpointException(
            file + " is said to have " + Integer.toUnsignedString(runs) + " entries at once; the directory is damaged");
      }
      long[] addresses = new long[runs];
      int[] counts = new int[runs];
      int group = 0;
      long bytes = 0;
      for (int run = 0; run < runs; run++) {
        var entry = nextPresent();
        while (kernelCode.getStart() <= entry.getVaddr() && entry.getVaddr() < kernelCode.getEnd()) {
          hand(addresses, counts, group, bytes, receiver);
          group = 0;
          bytes = 0;
          position += checked(entry.getNrPages());
          entry = nextPresent();
        }
        addresses[group] = entry.getVaddr();
        counts[group++] = entry.getNrPages();
        bytes += checked(entry.getNrPages());
      }
      hand(addresses, counts, group, bytes, receiver);
    }

    private long checked(int pageCount) {
      if (pageCount < 0) {
        throw new CheckpointException(file + " names more pages than there can be; the directory is damaged");
      }
      return (long) pageCount * PagesFile.PAGE_BYTES;
    }

    private void hand(long[] addresses, int[] counts, int runs, long bytes, PageReceiver receiver) {
      if (bytes > pages.byteSize() - position) {
        throw new CheckpointException(file + " names more pages than are there; the directory is damaged");
      }
      if (runs > 0) {
        receiver.pages(number, addresses, counts, runs, pages.asSlice(position, bytes));
      }
      position += bytes;
    }

    private pagemap_entry nextPresent() {
      while (index.hasNext()) {
        var entry = index.next();
        if ((entry.getFlags() & PagesFile.PRESENT) != 0) {
          return entry;
        }
      }
      throw new CheckpointException(file + " names fewer pages than were sent; the directory is damaged");
    }
  }

  /** Parses entries when they are needed; the first of the file is its head. */
  private record Entries(Path file, Iterator<byte[]> raw) implements Iterator<pagemap_entry> {
    @Override
    public boolean hasNext() {
      return raw.hasNext();
    }

    @Override
    public pagemap_entry next() {
      try {
        return pagemap_entry.parseFrom(raw.next());
      } catch (InvalidProtocolBufferException e) {
        throw new CheckpointException(file + " holds an entry that cannot be understood: " + e.getMessage(), e);
      }
    }
  }
}
