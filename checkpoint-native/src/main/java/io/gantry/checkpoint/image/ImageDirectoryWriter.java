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
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
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
  static final int FORMAT_VERSION = 2;

  private static final int PAGES_MAX = 256;

  private final Path target;
  private final Path temporary;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment buffer = arena.allocate((long) PAGES_MAX * PagesFile.PAGE_BYTES, PagesFile.PAGE_BYTES);
  private final TreeMap<Integer, PagesFile> earlier = new TreeMap<>();
  private final TreeMap<Integer, PagesFile> last = new TreeMap<>();
  private final FinalPages pages = new FinalPages();
  /** Of spaces that have no file yet. */
  private final Map<Integer, vma_entry> kernelCode = new HashMap<>();
  private final OutputStream stream;
  private final List<image_file> pageFiles = new ArrayList<>();
  private round_begin lastRound = round_begin.getDefaultInstance();
  private final_state state = final_state.getDefaultInstance();
  private descriptors_entry descriptors = descriptors_entry.getDefaultInstance();
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
    boolean inParent = hasParent();
    try {
      var file = inParent ? earlier(space) : last(space);
      var content = buffer.asSlice(0, pages * PagesFile.PAGE_BYTES);
      file.append(addresses, pageCounts, runCount, reader, content, run -> this.pages.pages(space, run));
      var event = stream_event.newBuilder().setSpace(space).setPagemapEntries(runCount);
      event(inParent ? event.setEarlier(true) : event);
    } catch (IOException e) {
      throw failed("writing pages to " + temporary, e);
    }
    bytesSent += pages * PagesFile.PAGE_BYTES;
  }

  private boolean hasParent() {
    return lastRound.hasLast() && !lastRound.getLast();
  }

  private PagesFile earlier(int space) throws IOException {
    return file(earlier, temporary.resolve(SpaceNames.PARENT), space);
  }

  private PagesFile last(int space) throws IOException {
    return file(last, temporary, space);
  }

  private PagesFile file(TreeMap<Integer, PagesFile> files, Path directory, int space) throws IOException {
    var file = files.get(space);
    if (file == null) {
      file = new PagesFile(directory, space);
      files.put(space, file);
      var vdso = kernelCode.remove(space);
      if (vdso != null) {
        file.expect(vdso.getStart(), KernelCode.vdso(vdso.getEnd() - vdso.getStart()));
      }
    }
    return file;
  }

  @Override
  public void zero(int space, long address, long pageCount) {
    zeroPagesSent += pageCount;
    pages.zero(space, address, pageCount);
    try {
      event(stream_event.newBuilder().setSpace(space).setZeroAddress(address).setZeroPages(pageCount));
    } catch (IOException e) {
      throw failed("writing to " + temporary, e);
    }
  }

  @Override
  public void message(int type, byte[] bytes) {
    try {
      switch (type) {
        case StreamMessage.ROUND_BEGIN -> keepRound(round_begin.parseFrom(bytes));
        case StreamMessage.FORK -> pages.fork(fork_point.parseFrom(bytes).getPid());
        case StreamMessage.FINAL_STATE -> state = final_state.parseFrom(bytes);
        case StreamMessage.DESCRIPTORS -> descriptors = descriptors_entry.parseFrom(bytes);
        default -> {}
      }
      event(stream_event.newBuilder().setMessageType(type).setMessage(ByteString.copyFrom(bytes)));
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

  private void keepRound(round_begin round) throws IOException {
    lastRound = round;
    pages.begin(round);
    for (round_process process : round.getProcessesList()) {
      if (!last.containsKey(process.getSpace()) && !earlier.containsKey(process.getSpace())) {
        VmaImages.vdso(process.getMm()).ifPresent(vdso -> kernelCode.put(process.getSpace(), vdso));
      }
    }
    if (!round.getLast()) {
      Files.createDirectories(temporary.resolve(SpaceNames.PARENT));
    }
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
      CriuImages.write(temporary, lastRound, state, descriptors);
      finishPages();
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

  private void finishPages() throws IOException {
    var names = new SpaceNames(lastRound);
    for (round_process process : lastRound.getProcessesList()) {
      last(process.getSpace());
    }
    for (var files : List.of(earlier, last)) {
      for (var entry : files.entrySet()) {
        entry.getValue().appendExpected(run -> pages.pages(entry.getKey(), run));
      }
    }
    var whole = new TreeMap<Integer, PageMap>();
    for (round_process process : lastRound.getProcessesList()) {
      whole.put(process.getSpace(), pages.ofProcess(process));
    }
    for (shared_memory shared : lastRound.getSharedList()) {
      whole.put(shared.getSpace(), pages.ofShared(shared));
    }
    var gathered = new ArrayList<PagesFile>();
    for (var entry : whole.entrySet()) {
      int space = entry.getKey();
      var file = last(space);
      var runs = entry.getValue().runs();
      if (asCriuReads(space, file, runs)) {
        pageFiles.add(file.finish(names.pagemap(space), runs.stream().filter(run -> !run.file().equals(Optional.of(file))).toList()));
      } else {
        // Closed only behind the loop: others may have to copy from it.
        pageFiles.addAll(file.finishForStream());
        var copy = new PagesFile(temporary, space);
        gathered.add(copy);
        copy.gather(runs);
        pageFiles.add(copy.finish(names.pagemap(space)));
      }
    }
    for (var entry : last.entrySet()) {
      if (!whole.containsKey(entry.getKey())) {
        pageFiles.add(entry.getValue().finish(names.pagemap(entry.getKey())));
      }
    }
    for (var entry : earlier.entrySet()) {
      var sum = entry.getValue().finish(names.pagemap(entry.getKey()));
      pageFiles.add(sum.toBuilder().setName(SpaceNames.PARENT + "/" + sum.getName()).build());
    }
    for (PagesFile file : gathered) {
      file.close();
    }
  }

  /** Whether the files as written say what memory holds in the end: each page by address, and once, and what is older in the parent. */
  private boolean asCriuReads(int space, PagesFile file, List<PageMap.Run> runs) {
    var old = earlier.get(space);
    long position = 0;
    boolean fits = file.ascending() && (old == null || old.ascending());
    for (PageMap.Run run : runs) {
      if (run.file().equals(Optional.of(file))) {
        fits &= run.position() == position;
        position += run.end() - run.start();
      } else {
        fits &= old != null && run.file().equals(Optional.of(old));
      }
    }
    return fits && position == file.bytes();
  }

  /** Removes what was written unless it was committed. */
  @Override
  public void close() {
    try {
      stream.close();
      for (PagesFile file : last.values()) {
        file.close();
      }
      for (PagesFile file : earlier.values()) {
        file.close();
      }
      if (!committed && Files.exists(temporary)) {
        List<Path> written;
        try (var files = Files.walk(temporary)) {
          written = files.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path file : written) {
          Files.delete(file);
        }
      }
    } catch (IOException e) {
      throw failed("removing the unfinished image directory " + temporary, e);
    } finally {
      arena.close();
    }
  }
}
