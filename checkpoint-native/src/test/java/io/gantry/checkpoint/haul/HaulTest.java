package io.gantry.checkpoint.haul;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.InvalidProtocolBufferException;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReader;
import io.gantry.checkpoint.PageSink;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Trees of files are the same at the other side, whatever is done to them meanwhile. */
class HaulTest {
  private Path directory;

  @BeforeEach
  void begin() throws IOException {
    directory = Files.createTempDirectory("gantry-test-haul-");
  }

  /** Names may be what Java cannot spell. */
  @AfterEach
  void end() {
    Stage.remove(directory);
  }

  private final HaulMemory here = new HaulMemory(StoragePolicy.DEFAULT);
  private final HaulMemory there = new HaulMemory(StoragePolicy.DEFAULT);

  /** A stream that may break. */
  private static final class Stream implements PageSink {
    private final HaulArrival arrival;
    private long left;
    private long bytes;
    /** Whether the other side does not get what is sent. */
    private boolean deaf;

    Stream(HaulArrival arrival, long bytesMax) {
      this.arrival = arrival;
      left = bytesMax;
    }

    @Override
    public int pagesMax() {
      return 1;
    }

    @Override
    public int runsMax() {
      return 1;
    }

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, PageReader reader) {
      throw new AssertionError("no pages are hauled");
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      throw new AssertionError("no pages are hauled");
    }

    @Override
    public void message(int type, byte[] message) {
      left -= message.length;
      if (left < 0) {
        throw new CheckpointException("the stream is broken");
      }
      bytes += message.length;
      if (deaf) {
        return;
      }
      try {
        arrival.accept(message);
      } catch (InvalidProtocolBufferException e) {
        throw new AssertionError(e);
      }
    }

    @Override
    public void flush() {}

    @Override
    public long bytesSent() {
      return bytes;
    }

    @Override
    public long zeroPagesSent() {
      return 0;
    }
  }

  private Path source() {
    return directory.resolve("here/data");
  }

  private Path target() {
    return directory.resolve("there/data");
  }

  private HaulArrival arrival(Path from, Path to, HaulMemory memory) {
    var volumes = new LinkedHashMap<Path, Path>();
    volumes.put(from, to);
    return new HaulArrival("web", directory, volumes, memory);
  }

  private void prepare() throws IOException {
    Files.createDirectories(source());
    Files.createDirectories(target().getParent());
  }

  private static void assertSame(Path one, Path other) throws IOException {
    assertSame(TreeListing.of(one, Set.of()), TreeListing.of(other, Set.of()));
  }

  private static void assertSame(Map<String, String> wanted, Map<String, String> found) {
    var differences = new ArrayList<String>();
    var names = new TreeSet<>(wanted.keySet());
    names.addAll(found.keySet());
    names.stream().filter(name -> !Objects.equals(wanted.get(name), found.get(name)))
        .forEach(name -> differences.add(name + "\n   is  " + found.get(name) + "\n   not " + wanted.get(name)));
    assertThat(differences.stream().limit(4)).as(differences.size() + " of " + names.size() + " differ").isEmpty();
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
  void aTreeThatIsChangedMeanwhileArrivesAsItIsInTheEnd(long seed) throws Exception {
    prepare();
    var tree = new WildTree(source(), seed);
    tree.grow(400);
    var arrival = arrival(source(), target(), there);
    var stream = new Stream(arrival, Long.MAX_VALUE);
    try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
      var done = new AtomicBoolean();
      var changes =
          Thread.ofPlatform()
              .start(
                  () -> {
                    while (!done.get()) {
                      tree.change(5);
                    }
                  });
      for (int i = 0; i < 4; i++) {
        capture.passes(stream, List.of());
      }
      done.set(true);
      changes.join();
      capture.last(stream, List.of());
      arrival.place();
      assertSame(source(), target());
      assertThat(arrival.digest()).isEqualTo(capture.digest());
    }
    arrival.activated();
  }

  /** Nobody is told of it under the name that the file keeps. */
  @Test
  void whatWasWrittenUnderANameThatIsGoneTogetherWithItsDirectoryArrives() throws Exception {
    prepare();
    var kept = Files.writeString(source().resolve("kept"), "as it was");
    var directory = Files.createDirectory(source().resolve("directory"));
    Files.createLink(directory.resolve("other"), kept);
    var alone = Files.writeString(source().resolve("alone"), "as it was");
    var third = Files.writeString(source().resolve("third"), "as it was");
    var arrival = arrival(source(), target(), there);
    var stream = new Stream(arrival, Long.MAX_VALUE);
    try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
      capture.passes(stream, List.of());
      Files.writeString(directory.resolve("other"), "as it is now");
      Files.delete(directory.resolve("other"));
      Files.delete(directory);
      // And where even the directory has not been seen.
      var late = Files.createDirectory(source().resolve("late"));
      Files.createLink(late.resolve("other"), alone);
      Files.writeString(late.resolve("other"), "as this is now");
      Files.delete(late.resolve("other"));
      Files.delete(late);
      Files.createLink(source().resolve("passing"), third);
      Files.writeString(source().resolve("passing"), "as the third is now");
      Files.delete(source().resolve("passing"));
      capture.last(stream, List.of());
      arrival.place();
      assertSame(source(), target());
      assertThat(target().resolve("kept")).hasContent("as it is now");
      assertThat(target().resolve("alone")).hasContent("as this is now");
      assertThat(target().resolve("third")).hasContent("as the third is now");
    }
    arrival.activated();
  }

  /** What was seen and not sent is told again, although it cannot be found at once where it was. */
  @Test
  void aHaulGoesOnAfterTheOtherSideHasMissedSomePassesWhileDirectoriesChangeTheirNames() throws Exception {
    prepare();
    int folders = 4;
    for (int i = 0; i < folders; i++) {
      Files.createDirectories(source().resolve("folder-" + i + "-0/inner"));
    }
    Files.createDirectories(source().resolve("box-0/kept/deep"));
    Files.writeString(source().resolve("box-0/kept/deep/file"), "stays as it is");
    var done = new AtomicBoolean();
    var failure = new AtomicReference<IOException>();
    var changes =
        Thread.ofPlatform()
            .start(
                () -> {
                  int[] names = new int[folders];
                  try {
                    for (int round = 0; !done.get(); round++) {
                      int i = round % folders;
                      var before = source().resolve("folder-" + i + "-" + names[i]);
                      var after = source().resolve("folder-" + i + "-" + ++names[i]);
                      Files.writeString(before.resolve("file-" + round % 40), "content " + round);
                      Files.deleteIfExists(before.resolve("file-" + (round + 20) % 40));
                      Files.move(before, after);
                      // Goes from one into the next, which nobody has seen yet.
                      var box = source().resolve("box-" + (round + 1));
                      if (round % 16 == 8) {
                        Files.createDirectory(box);
                        Files.move(source().resolve("box-" + round + "/kept"), box.resolve("kept"));
                        Files.delete(source().resolve("box-" + round));
                      } else {
                        Files.move(source().resolve("box-" + round), box);
                      }
                      if (round % 16 < folders) {
                        Files.move(after.resolve("inner"), after.resolve("other"));
                        Files.createDirectory(after.resolve("inner"));
                        Stage.remove(after.resolve("other"));
                        Files.writeString(after.resolve("inner/file"), "content " + round);
                      }
                    }
                  } catch (IOException e) {
                    failure.set(e);
                  }
                });
    for (int attempt = 0; attempt < 16; attempt++) {
      var arrival = arrival(source(), target(), there);
      var stream = new Stream(arrival, Long.MAX_VALUE);
      try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
        capture.passes(stream, List.of());
        stream.deaf = true;
        capture.passes(stream, List.of());
        arrival.discard();
      }
    }
    done.set(true);
    changes.join();
    assertThat(failure.get()).isNull();
    var wanted = TreeListing.of(source(), Set.of());
    move(source(), target(), here, there);
    assertSame(wanted, TreeListing.of(target(), Set.of()));
  }

  @Test
  void anInterruptedHaulGoesOnWhereItWas() throws Exception {
    prepare();
    var tree = new WildTree(source(), 11);
    tree.grow(600);
    byte[] large = new byte[20 << 20];
    new java.util.Random(1).nextBytes(large);
    Files.write(source().resolve("large"), large);
    long sent = 0;
    for (int attempt = 0; attempt < 5; attempt++) {
      var arrival = arrival(source(), target(), there);
      var broken = new Stream(arrival, 6 << 20);
      try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
        if (attempt < 4) {
          assertThatThrownBy(() -> capture.passes(broken, List.of())).hasMessage("the stream is broken");
          arrival.discard();
          assertThat(target()).doesNotExist();
        } else {
          capture.passes(broken, List.of());
          capture.last(broken, List.of());
          arrival.place();
          assertSame(source(), target());
          arrival.activated();
        }
      }
      sent += broken.bytesSent();
      tree.change(20);
      if (attempt < 3) {
        Files.write(source().resolve("grown" + attempt), new byte[10]);
      }
    }
    assertThat(sent).as("bytes of all attempts").isLessThan((20 << 20) + (8 << 20));
  }

  @Test
  void aHaulThatIsUndoneAfterItWasPutInPlaceLeavesNothingThere() throws Exception {
    prepare();
    new WildTree(source(), 12).grow(100);
    for (int i = 0; i < 2; i++) {
      var arrival = arrival(source(), target(), there);
      var stream = new Stream(arrival, Long.MAX_VALUE);
      try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
        capture.passes(stream, List.of());
        capture.last(stream, List.of());
        arrival.place();
        assertSame(source(), target());
        arrival.discard();
      }
      assertThat(target()).doesNotExist();
      assertThat(source()).exists();
      if (i == 1) {
        assertThat(stream.bytesSent()).as("bytes of the second attempt").isLessThan(20_000);
      }
    }
  }

  /** As a runtime needs it, which makes the container before everything has come. */
  @ParameterizedTest
  @ValueSource(longs = {21, 22, 23})
  void aTreeThatIsInItsPlaceEarlyGetsThereWhatIsChangedLater(long seed) throws Exception {
    prepare();
    var tree = new WildTree(source(), seed);
    tree.grow(300);
    for (int i = 0; i < 2; i++) {
      var arrival = arrival(source(), target(), there);
      var stream = new Stream(arrival, Long.MAX_VALUE);
      try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
        capture.passes(stream, List.of());
        arrival.placeEarly(i == 0 ? 0 : 1234);
        var open = PosixFilePermissions.fromString(i == 0 ? "rwx------" : "rwx--x---");
        assertThat(Files.getAttribute(target(), "unix:gid")).as("who may go in beside root").isEqualTo(i == 0 ? 0 : 1234);
        assertSame(withoutRoot(source()), withoutRoot(target()));
        assertThat(Files.getPosixFilePermissions(target()))
            .as("whom it is open to")
            .isEqualTo(open);
        assertThat(HaulNote.HAULED.read(directory))
            .as("what the next agent takes away when this one dies")
            .containsExactly(target());
        for (int pass = 0; pass < 3; pass++) {
          tree.change(40);
          Files.setPosixFilePermissions(source(), PosixFilePermissions.fromString("rwxr-x--" + (pass % 2 == 0 ? "x" : "-")));
          capture.passes(stream, List.of());
          assertThat(Files.getPosixFilePermissions(target())).isEqualTo(open);
        }
        tree.change(40);
        capture.last(stream, List.of());
        assertThat(arrival.here(source() + "/file")).isEqualTo(source() + "/file");
        if (i == 0) {
          arrival.discard();
          assertThat(target()).doesNotExist();
          assertThat(HaulNote.HAULED.read(directory)).isEmpty();
        } else {
          arrival.place();
          assertSame(source(), target());
          assertThat(arrival.digest()).isEqualTo(capture.digest());
          arrival.activated();
        }
      }
    }
  }

  private static Map<String, String> withoutRoot(Path tree) throws IOException {
    var listing = TreeListing.of(tree, Set.of());
    listing.remove("");
    return listing;
  }

  @Test
  void aTreeOfWhichNothingChangesIsOnBothSidesAfterwards() throws Exception {
    prepare();
    new WildTree(source(), 24).grow(50);
    var volumes = new LinkedHashMap<Path, Path>();
    volumes.put(source(), target());
    var arrival = new HaulArrival("web", directory, volumes, Set.of(source()), there);
    var stream = new Stream(arrival, Long.MAX_VALUE);
    try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
      capture.passes(stream, List.of());
      capture.last(stream, List.of());
      arrival.place();
      arrival.activated();
      assertThat(capture.volumes()).as("what is taken from its place").isEmpty();
      capture.moved();
    }
    assertSame(source(), target());
  }

  @Test
  void theWayBackBringsOnlyWhatHasChangedAndNothingOld() throws Exception {
    prepare();
    var tree = new WildTree(source(), 13);
    tree.grow(300);
    Files.write(source().resolve("large"), new byte[3 << 20]);
    Files.write(source().resolve("old"), new byte[10]);
    move(source(), target(), here, there);
    assertThat(source()).as("its place is empty, so that nobody takes old files for new").doesNotExist();
    Files.delete(target().resolve("old"));
    Files.write(target().resolve("new"), new byte[] {1, 2, 3});
    new WildTree(target(), 14).change(30);
    var before = TreeListing.of(target(), Set.of());
    long sent = move(target(), source(), there, here);
    assertSame(before, TreeListing.of(source(), Set.of()));
    assertThat(source().resolve("old")).doesNotExist();
    assertThat(target()).doesNotExist();
    assertThat(sent).as("without the large file, which has not changed").isLessThan(1 << 20);
    // And once more.
    before = TreeListing.of(source(), Set.of());
    sent = move(source(), target(), here, there);
    assertSame(before, TreeListing.of(target(), Set.of()));
    assertThat(sent).as("without the large file, which has not changed").isLessThan(1 << 20);
  }

  @Test
  void anotherAgentThatFindsThatTheContainerIsNotToRunHerePutsItsFilesAway() throws Exception {
    prepare();
    new WildTree(source(), 16).grow(100);
    var arrival = arrival(source(), target(), there);
    var stream = new Stream(arrival, Long.MAX_VALUE);
    try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
      capture.passes(stream, List.of());
      capture.last(stream, List.of());
      arrival.place();
      arrival.release();
      assertThat(HaulNote.HAULED.read(directory)).containsExactly(target());
    }
    var notes = directory.resolve("notes");
    var another = new HaulMemory(new StoragePolicy(List.of(), Duration.ofDays(1), Optional.of(notes)));
    HaulNote.putAway("web", directory, another);
    assertThat(target()).doesNotExist();
    var stage = target().resolveSibling(".data.gantry-web");
    assertSame(source(), stage.resolve("tree"));
    assertThat(HaulNote.HAULED.read(directory)).isEmpty();
    assertThat(notes).isNotEmptyDirectory();
    // Once it has been kept for long enough, any agent of this host removes it.
    new HaulMemory(new StoragePolicy(List.of(), Duration.ofSeconds(-1), Optional.of(notes)));
    Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> !Files.exists(stage));
    assertThat(source()).exists();
  }

  @Test
  void theRootOfAFileSystemCanTravelAndComeBack() throws Exception {
    prepare();
    Files.createDirectories(target());
    mount(source());
    mount(target());
    try {
      var lost = Set.of("lost+found", ".gantry-haul");
      Files.createDirectory(target().resolve("lost+found"));
      new WildTree(source(), 15).grow(200);
      long first = 0;
      for (int i = 0; i < 3; i++) {
        var from = i % 2 == 0 ? source() : target();
        var to = i % 2 == 0 ? target() : source();
        var before = TreeListing.of(from, lost);
        long sent = move(from, to, i % 2 == 0 ? here : there, i % 2 == 0 ? there : here);
        assertSame(before, TreeListing.of(to, lost));
        assertThat(TreeListing.of(from, lost)).as("what is left in its place").hasSize(1);
        if (i == 0) {
          first = sent;
        } else {
          // Those in the root, which were moved into place last.
          assertThat(sent).as("bytes of move " + i).isLessThan(first / 4);
        }
      }
    } finally {
      run("umount", source().toString());
      run("umount", target().toString());
    }
  }

  @Test
  void theRootOfAFileSystemIsAsItWasWhenAHaulIntoItIsUndone() throws Exception {
    prepare();
    Files.createDirectories(target());
    mount(target());
    try {
      new WildTree(source(), 25).grow(50);
      Files.setPosixFilePermissions(source(), PosixFilePermissions.fromString("rwxrwxrwx"));
      var arrival = arrival(source(), target(), there);
      var stream = new Stream(arrival, Long.MAX_VALUE);
      try (var capture = new HaulCapture("web", arrival.wishes(), here)) {
        capture.passes(stream, List.of());
        arrival.placeEarly(0);
        assertThat(Files.getPosixFilePermissions(target())).isEqualTo(PosixFilePermissions.fromString("rwx------"));
        arrival.discard();
        assertThat(Files.getPosixFilePermissions(target())).isEqualTo(PosixFilePermissions.fromString("rwxr-x---"));
      }
      assertThat(move(source(), target(), here, there)).as("bytes of the second attempt").isLessThan(20_000);
      assertThat(Files.getPosixFilePermissions(target())).isEqualTo(PosixFilePermissions.fromString("rwxrwxrwx"));
    } finally {
      run("umount", target().toString());
    }
  }

  private static void mount(Path place) throws Exception {
    run("mount", "-t", "tmpfs", "-o", "size=64m,mode=0750", "gantry-test", place.toString());
  }

  private static void run(String... command) throws Exception {
    assertThat(new ProcessBuilder(command).inheritIO().start().waitFor()).as(String.join(" ", command)).isZero();
  }

  @Test
  void whatIsInAMappingAloneTravels() throws Exception {
    prepare();
    mount(source());
    try {
      var file = Files.write(source().resolve("mapped"), new byte[200_000]);
      var arrival = arrival(source(), target(), there);
      var stream = new Stream(arrival, Long.MAX_VALUE);
      var self = List.of((int) ProcessHandle.current().pid());
      try (var capture = new HaulCapture("web", arrival.wishes(), here);
          var arena = Arena.ofConfined();
          var channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
        var memory = channel.map(FileChannel.MapMode.READ_WRITE, 0, 200_000, arena);
        capture.passes(stream, self);
        // On tmpfs this leaves no trace in the file's times.
        memory.set(ValueLayout.JAVA_BYTE, 123_456, (byte) 7);
        capture.last(stream, self);
        arrival.place();
      }
      assertThat(Files.readAllBytes(target().resolve("mapped"))[123_456]).isEqualTo((byte) 7);
      arrival.activated();
    } finally {
      run("umount", source().toString());
    }
  }

  @Test
  void whoHasForgottenIsSentEverythingAgain() throws Exception {
    prepare();
    new WildTree(source(), 17).grow(100);
    move(source(), target(), here, there);
    Files.write(target().resolve("new"), new byte[] {1});
    var before = TreeListing.of(target(), Set.of());
    var forgotten = new HaulMemory(StoragePolicy.DEFAULT);
    move(target(), source(), there, forgotten);
    assertSame(before, TreeListing.of(source(), Set.of()));
    before = TreeListing.of(source(), Set.of());
    move(source(), target(), new HaulMemory(StoragePolicy.DEFAULT), there);
    assertSame(before, TreeListing.of(target(), Set.of()));
  }

  private long move(Path from, Path to, HaulMemory fromMemory, HaulMemory toMemory) throws IOException {
    var arrival = arrival(from, to, toMemory);
    var stream = new Stream(arrival, Long.MAX_VALUE);
    try (var capture = new HaulCapture("web", arrival.wishes(), fromMemory)) {
      capture.passes(stream, List.of());
      capture.last(stream, List.of());
      arrival.place();
      arrival.activated();
      capture.moved();
    }
    return stream.bytesSent();
  }
}
