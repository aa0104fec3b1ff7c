package io.gantry.checkpoint.image;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.PageSink;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;

/**
 * Takes a capture into a directory of files: CRIU's for address spaces, pages and process state, so that its tools can read them, and
 * {@code stream.img}, which keeps the order of everything.
 *
 * <p>Everything is written into a temporary directory beside the wanted one, made durable, and renamed by {@link #commit()}; a
 * directory of the wanted name is therefore always complete. One thread.
 */
public final class ImageDirectoryWriter implements PageSink, AutoCloseable {
  /** Raised whenever an older reader would misunderstand the directory. */
  static final int FORMAT_VERSION = 1;

  private static final int PAGES_MAX = 256;
  /** {@code CRTOOLS_IMAGES_V1_1}. */
  private static final int CRIU_IMAGES_VERSION = 2;
  private static final int ROOT_NAMESPACES = 1;

  private final Path target;
  private final Path temporary;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate((long) PAGES_MAX * PagesFile.PAGE_BYTES, PagesFile.PAGE_BYTES);
  private final TreeMap<Integer, PagesFile> spaces = new TreeMap<>();
  private final OutputStream stream;
  private final List<image_file> pageFiles = new ArrayList<>();
  private round_begin lastRound = round_begin.getDefaultInstance();
  private long bytesSent;
  private long zeroPagesSent;
  private boolean ended;
  private boolean committed;

  private ImageDirectoryWriter(Path target, Path temporary) throws IOException {
    this.target = target;
    this.temporary = temporary;
    stream =
        new BufferedOutputStream(
            Files.newOutputStream(temporary.resolve(ImageFile.STREAM.fileName()), StandardOpenOption.CREATE_NEW));
    stream.write(ImageFile.STREAM.header());
  }

  /** @param target the directory to be; must not exist, its parent must */
  public static ImageDirectoryWriter create(Path target) {
    var absolute = target.toAbsolutePath().normalize();
    if (Files.exists(absolute)) {
      throw new CheckpointException(absolute + " exists already; choose another directory or remove it");
    }
    try {
      return new ImageDirectoryWriter(
          absolute, Files.createTempDirectory(absolute.getParent(), "." + absolute.getFileName() + "."));
    } catch (IOException e) {
      throw failed("creating an image directory in " + absolute.getParent(), e);
    }
  }

  private static CheckpointException failed(String what, IOException e) {
    return new CheckpointException(what + " failed: " + e + "; is there room, and may we write there?", e);
  }

  @Override
  public int pagesMax() {
    return PAGES_MAX;
  }

  @Override
  public int runsMax() {
    return PAGES_MAX;
  }

  @Override
  public void pages(int space, long[] addresses, int[] pageCounts, int runCount, PageReader reader) {
    long pages = 0;
    for (int run = 0; run < runCount; run++) {
      pages += pageCounts[run];
    }
    try {
      file(space).append(addresses, pageCounts, runCount, reader, buffer.asSlice(0, pages * PagesFile.PAGE_BYTES));
      event(stream_event.newBuilder().setSpace(space).setPagemapEntries(runCount));
    } catch (IOException e) {
      throw failed("writing pages to " + temporary, e);
    }
    bytesSent += pages * PagesFile.PAGE_BYTES;
  }

  private PagesFile file(int space) throws IOException {
    var file = spaces.get(space);
    if (file == null) {
      file = new PagesFile(temporary, space);
      spaces.put(space, file);
    }
    return file;
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    zeroPagesSent += pageCount;
    try {
      event(stream_event.newBuilder().setSpace(space).setZeroAddress(address).setZeroPages(pageCount));
    } catch (IOException e) {
      throw failed("writing to " + temporary, e);
    }
  }

  @Override
  public void message(int type, byte[] bytes) {
    try {
      byte[] kept =
          switch (type) {
            case StreamMessage.ROUND_BEGIN -> keepRound(round_begin.parseFrom(bytes), bytes);
            case StreamMessage.FINAL_STATE -> keepState(final_state.parseFrom(bytes));
            case StreamMessage.DESCRIPTORS -> keepDescriptors(descriptors_entry.parseFrom(bytes));
            default -> bytes;
          };
      event(stream_event.newBuilder().setMessageType(type).setMessage(ByteString.copyFrom(kept)));
      ended |= type == StreamMessage.END;
    } catch (InvalidProtocolBufferException e) {
      throw new CheckpointException("the capture sent a message of type " + type + " that cannot be understood", e);
    } catch (IOException e) {
      throw failed("writing to " + temporary, e);
    }
    bytesSent += bytes.length;
  }

  private void event(stream_event.Builder event) throws IOException {
    ImageFile.writeEntry(stream, event.build());
  }

  /** Address spaces of the last round have files of their own. */
  private byte[] keepRound(round_begin round, byte[] bytes) throws IOException {
    lastRound = round;
    if (!round.getLast()) {
      return bytes;
    }
    var rest = round.toBuilder();
    for (int i = 0; i < round.getProcessesCount(); i++) {
      var process = round.getProcesses(i);
      ImageFile.MM.write(temporary.resolve(ImageFile.MM.fileName(process.getPid())), List.of(process.getMm()));
      rest.getProcessesBuilder(i).clearMm();
    }
    return rest.buildPartial().toByteArray();
  }

  private byte[] keepState(final_state state) throws IOException {
    ProcessImages.write(temporary, state);
    var root = state.getProcessesCount() == 0 ? core_entry.getDefaultInstance() : state.getProcesses(0).getThreads(0);
    var inventory =
        inventory_entry.newBuilder().setImgVersion(CRIU_IMAGES_VERSION).setFdinfoPerId(true).setNsPerId(true);
    if (root.hasIds()) {
      inventory.setRootIds(root.getIds().toBuilder().setUtsNsId(ROOT_NAMESPACES).setPidNsId(ROOT_NAMESPACES));
    }
    ImageFile.INVENTORY.write(temporary.resolve(ImageFile.INVENTORY.fileName()), List.of(inventory.build()));
    if (state.hasUtsns()) {
      ImageFile.UTSNS.write(temporary.resolve(ImageFile.UTSNS.fileName(ROOT_NAMESPACES)), List.of(state.getUtsns()));
    }
    return ProcessImages.rest(state).toByteArray();
  }

  private byte[] keepDescriptors(descriptors_entry descriptors) throws IOException {
    DescriptorImages.write(temporary, descriptors);
    return DescriptorImages.rest(descriptors).toByteArray();
  }

  @Override
  public void flush() {
    // Durability comes with commit(); nobody reads before.
  }

  @Override
  public long bytesSent() {
    return bytesSent;
  }

  @Override
  public long zeroPagesSent() {
    return zeroPagesSent;
  }

  /** Makes everything durable and gives the directory its name. Only after the capture has sent its end. */
  public void commit() {
    if (!ended) {
      throw new IllegalStateException("the capture has not sent its end");
    }
    try {
      stream.close();
      var names = new SpaceNames(lastRound);
      for (var space : spaces.entrySet()) {
        pageFiles.add(space.getValue().finish(names.pagemap(space.getKey())));
      }
      spaces.clear();
      ImageManifest.write(temporary, FORMAT_VERSION, pageFiles);
      Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
      ImageManifest.force(target.getParent());
      committed = true;
    } catch (FileAlreadyExistsException e) {
      throw new CheckpointException(target + " was created by somebody else meanwhile; choose another directory", e);
    } catch (IOException e) {
      throw failed("finishing " + target, e);
    }
  }

  /** Removes what was written unless it was committed. */
  @Override
  public void close() {
    try {
      stream.close();
      for (PagesFile file : spaces.values()) {
        file.close();
      }
      if (!committed && Files.exists(temporary)) {
        try (var files = Files.list(temporary)) {
          for (Path file : files.toList()) {
            Files.delete(file);
          }
        }
        Files.delete(temporary);
      }
    } catch (IOException e) {
      throw failed("removing the unfinished image directory " + temporary, e);
    } finally {
      arena.close();
    }
  }
}
