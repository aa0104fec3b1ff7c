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

/** Feeds what {@link ImageDirectoryWriter} took down to a receiver: the same pages and messages in the same order. One thread. */
public final class ImageDirectoryReader {
  private final Path directory;
  private final List<stream_event> events;

  private ImageDirectoryReader(Path directory, List<stream_event> events) {
    this.directory = directory;
    this.events = events;
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
    ImageManifest.verify(directory, ImageDirectoryWriter.FORMAT_VERSION);
    var stream = directory.resolve(ImageFile.STREAM.fileName());
    return new ImageDirectoryReader(directory, ImageFile.STREAM.read(stream, stream_event::parseFrom));
  }

  /** The process state that the directory holds. */
  public final_state state() {
    for (stream_event event : events) {
      if (event.getMessageType() == StreamMessage.FINAL_STATE) {
        try {
          return ProcessImages.read(directory, final_state.parseFrom(event.getMessage()));
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
      var names = new SpaceNames(lastRound());
      Map<Integer, Space> spaces = new HashMap<>();
      for (stream_event event : events) {
        if (event.hasPagemapEntries()) {
          var space = spaces.get(event.getSpace());
          if (space == null) {
            space = new Space(directory, names, event.getSpace(), arena);
            spaces.put(event.getSpace(), space);
          }
          space.feed(event.getPagemapEntries(), receiver);
        } else if (event.hasZeroPages()) {
          receiver.zero(event.getSpace(), event.getZeroAddress(), event.getZeroPages());
        } else {
          receiver.message(event.getMessageType(), whole(event));
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

  private CheckpointException notUnderstood(InvalidProtocolBufferException e) {
    return new CheckpointException(directory + " holds a message that cannot be understood: " + e.getMessage(), e);
  }

  private byte[] whole(stream_event event) throws InvalidProtocolBufferException {
    return switch (event.getMessageType()) {
      case StreamMessage.ROUND_BEGIN -> wholeRound(event);
      case StreamMessage.FINAL_STATE -> state().toByteArray();
      case StreamMessage.DESCRIPTORS ->
          DescriptorImages.read(directory, descriptors_entry.parseFrom(event.getMessage())).toByteArray();
      default -> event.getMessage().toByteArray();
    };
  }

  private byte[] wholeRound(stream_event event) throws InvalidProtocolBufferException {
    var round = round_begin.parser().parsePartialFrom(event.getMessage()).toBuilder();
    if (round.getLast()) {
      for (round_process.Builder process : round.getProcessesBuilderList()) {
        var file = directory.resolve(ImageFile.MM.fileName(process.getPid()));
        mm_entry mm = ImageFile.MM.readOne(file, mm_entry::parseFrom);
        process.setMm(mm);
      }
    }
    return round.build().toByteArray();
  }

  /** The pages of one space, mapped, and where in them the stream has come to. */
  private static final class Space {
    private final int number;
    private final Iterator<pagemap_entry> index;
    private final MemorySegment pages;
    private long position;

    Space(Path directory, SpaceNames names, int number, Arena arena) throws IOException {
      this.number = number;
      var entries = ImageFile.PAGEMAP.read(directory.resolve(names.pagemap(number)), bytes -> bytes);
      index = new Entries(entries.listIterator(1));
      try (var channel = FileChannel.open(directory.resolve(SpaceNames.pages(number)))) {
        pages = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
      }
    }

    void feed(int runs, PageReceiver receiver) {
      long[] addresses = new long[runs];
      int[] counts = new int[runs];
      long bytes = 0;
      for (int run = 0; run < runs; run++) {
        var entry = index.next();
        addresses[run] = entry.getVaddr();
        counts[run] = entry.getNrPages();
        bytes += (long) entry.getNrPages() * PagesFile.PAGE_BYTES;
      }
      receiver.pages(number, addresses, counts, runs, pages.asSlice(position, bytes));
      position += bytes;
    }
  }

  /** Parses entries when they are needed; the first of the file is its head. */
  private record Entries(Iterator<byte[]> raw) implements Iterator<pagemap_entry> {
    @Override
    public boolean hasNext() {
      return raw.hasNext();
    }

    @Override
    public pagemap_entry next() {
      try {
        return pagemap_entry.parseFrom(raw.next());
      } catch (InvalidProtocolBufferException e) {
        throw new CheckpointException("a page index holds an entry that cannot be understood: " + e.getMessage(), e);
      }
    }
  }
}
