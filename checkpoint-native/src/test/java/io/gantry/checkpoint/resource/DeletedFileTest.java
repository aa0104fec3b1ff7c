package io.gantry.checkpoint.resource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.file_data_entry;
import io.gantry.checkpoint.image.ghost_file_entry;
import io.gantry.checkpoint.image.reg_file_entry;
import io.gantry.checkpoint.linux.FileStatus;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeletedFileTest {
  @Test
  void contentTravelsWhileItRunsAndOnlyChangesTravelInTheFreeze(@TempDir Path directory) {
    try (var move = Move.begin("deleted", directory)) {
      var sender = new FileContentSender(directory.resolve("no console"));
      var running = new ArrayList<file_data_entry>();
      sender.round(move.processes(), List.of(), running::add);
      // 5 MiB less a hole of 2 MiB.
      assertThat(bytes(running)).isBetween(3L << 20, (3L << 20) + (1 << 17));
      assertThat(running).allMatch(piece -> piece.getData().size() <= FileContentSender.PIECE_MAX);

      move.source().send("go on");
      move.source().awaitLine("changed", Duration.ofSeconds(10));
      move.awaitQuiet();
      var captured = move.capture();
      var frozen = new ArrayList<file_data_entry>();
      sender.last(captured.deletedFiles(), frozen::add);
      // One chunk changed in the middle, and the last one was cut.
      assertThat(bytes(frozen)).isPositive().isLessThanOrEqualTo(2 << 16);

      move.endSource();
      move.startStubs();
      try (var received = new FileContentReceiver(directory.resolve("console.log"), move::stubPid)) {
        running.forEach(received::accept);
        frozen.forEach(received::accept);
        move.recreate(captured.state(), received, Map.of());
      }
      move.verify();
      assertThat(directory.resolve("gone")).doesNotExist();
    }
  }

  /** What is written through a mapping whose page is dirty already changes no time of the file. */
  @Test
  void fileThatNobodyHasChangedIsReadAgainOnlyWhenSomebodyMayWriteToItsMapping(@TempDir Path directory) throws IOException {
    var path = Files.write(directory.resolve("lost"), new byte[1 << 20]);
    try (var file = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      var mapping = file.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
      mapping.put(5000, (byte) 1);
      var ref = lost(path);
      Files.delete(path);
      var changed = FileStatus.of("/proc/self/" + ref.link()).orElseThrow().changedNs();
      await().until(() -> System.currentTimeMillis() - changed / 1_000_000 > 300);
      var trusting = new FileContentSender(directory.resolve("no console"));
      var careful = new FileContentSender(directory.resolve("no console"));
      var self = List.of(new ProcessRef((int) ProcessHandle.current().pid(), 0));
      trusting.round(self, List.of(ref), _ -> false, _ -> {});
      careful.round(self, List.of(ref), _ -> true, _ -> {});
      mapping.put(5000, (byte) 2);
      assertThat(sent(trusting, ref, false)).as("what is not read").isZero();
      assertThat(sent(careful, ref, true)).isPositive();
      mapping.put(5000, (byte) 3);
      assertThat(sent(trusting, ref, true)).as("once it may be written to").isPositive();
      file.write(ByteBuffer.wrap(new byte[] {4}), 5000);
      assertThat(sent(careful, ref, false)).as("its time is another one").isPositive();
    }
  }

  private static long sent(FileContentSender sender, DescriptorCapture.DeletedFileRef file, boolean writable) {
    var pieces = new ArrayList<file_data_entry>();
    sender.last(List.of(file), _ -> writable, pieces::add);
    return bytes(pieces);
  }

  private static DescriptorCapture.DeletedFileRef lost(Path path) throws IOException {
    try (var links = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
      for (var link : links) {
        if (Files.exists(link) && Files.isSameFile(link, path)) {
          var status = FileStatus.of(path.toString()).orElseThrow();
          return new DescriptorCapture.DeletedFileRef(
              new FileIdentity(status.device(), status.inode()),
              (int) ProcessHandle.current().pid(),
              "fd/" + link.getFileName(),
              path.toString(),
              false);
        }
      }
    }
    throw new AssertionError(path + " is not open");
  }

  @Test
  void saysWhenTheContentDidNotCome(@TempDir Path directory) {
    try (var move = Move.begin("deleted", directory)) {
      move.source().send("go on");
      move.source().awaitLine("changed", Duration.ofSeconds(10));
      move.awaitQuiet();
      var captured = move.capture();
      move.startStubs();
      try (var received = new FileContentReceiver(directory.resolve("console.log"), move::stubPid)) {
        assertThatThrownBy(() -> move.recreate(captured.state(), received, Map.of()))
            .isInstanceOf(CheckpointException.class)
            .hasMessageContaining("gone did not come");
      }
    }
  }

  @Test
  void isMadeBesideAnotherFileThatHasTheNameByNow(@TempDir Path directory) throws IOException {
    var taken = Files.writeString(directory.resolve("taken"), "not to be touched");
    var piece =
        file_data_entry.newBuilder()
            .setGhost(ghost_file_entry.newBuilder().setUid(0).setGid(0).setMode(0600).setIno(1).setSize(1))
            .setGhostDev(1)
            .setName(taken.toString())
            .setOffset(0)
            .setSize(1)
            .setData(ByteString.copyFromUtf8("x"))
            .build();
    int self = (int) ProcessHandle.current().pid();
    try (var received = new FileContentReceiver(directory.resolve("console.log"), () -> self)) {
      received.accept(piece);
      int fd = received.descriptor(new FileIdentity(1, 1), reg_file_entry.newBuilder().setSize(1).buildPartial());
      assertThat(Path.of("/proc/self/fd/" + fd)).hasContent("x");
      assertThat(Files.readSymbolicLink(Path.of("/proc/self/fd/" + fd)).toString()).startsWith(taken.toString()).endsWith(" (deleted)");
    }
    assertThat(taken).hasContent("not to be touched");
    assertThat(directory).isDirectoryNotContaining(file -> !file.equals(taken));
  }

  @Test
  void saysWhenItsDirectoryIsMissing(@TempDir Path directory) {
    var piece =
        file_data_entry.newBuilder()
            .setGhost(ghost_file_entry.newBuilder().setUid(0).setGid(0).setMode(0600).setIno(1).setSize(0))
            .setGhostDev(1)
            .setName(directory.resolve("missing/file").toString())
            .setOffset(0)
            .setSize(0)
            .build();
    int self = (int) ProcessHandle.current().pid();
    try (var received = new FileContentReceiver(directory.resolve("console.log"), () -> self)) {
      assertThatThrownBy(() -> received.accept(piece))
          .isInstanceOf(CheckpointException.class)
          .hasMessageContaining("missing/file")
          .hasMessageContaining("ENOENT");
    }
  }

  @Test
  void consoleTravelsInPieces(@TempDir Path directory) throws IOException {
    var console = directory.resolve("console.log");
    var copy = directory.resolve("copy.log");
    var sender = new FileContentSender(console);
    try (var received = new FileContentReceiver(copy, () -> 0)) {
      sender.round(List.of(), List.of(), received::accept);
      Files.writeString(console, "a".repeat(FileContentSender.PIECE_MAX + 10));
      sender.round(List.of(), List.of(), received::accept);
      Files.writeString(console, "the tail\n", StandardOpenOption.APPEND);
      var tail = new ArrayList<file_data_entry>();
      sender.last(List.of(), tail::add);
      assertThat(tail).singleElement().satisfies(piece -> assertThat(piece.getData().toStringUtf8()).isEqualTo("the tail\n"));
      tail.forEach(received::accept);
      assertThat(copy).hasSameBinaryContentAs(console);
      Files.writeString(console, "new");
      sender.last(List.of(), received::accept);
      assertThat(copy).hasContent("new");
    }
  }

  private static long bytes(List<file_data_entry> pieces) {
    return pieces.stream().mapToLong(piece -> piece.getData().size()).sum();
  }
}
