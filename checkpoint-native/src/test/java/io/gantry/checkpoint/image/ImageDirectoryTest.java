package io.gantry.checkpoint.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReceiver;
import io.gantry.checkpoint.PageSink;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageDirectoryTest {
  private static final int PAGE = 4096;

  @TempDir Path directory;

  /** Takes everything down as text. */
  private static final class Recorder implements PageReceiver {
    final List<String> calls = new ArrayList<>();

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
      var crc = new CRC32C();
      crc.update(data.asByteBuffer());
      calls.add(
          "pages %d %s %s %d %x"
              .formatted(
                  space,
                  Arrays.toString(Arrays.copyOf(addresses, runCount)),
                  Arrays.toString(Arrays.copyOf(pageCounts, runCount)),
                  data.byteSize(),
                  crc.getValue()));
    }

    @Override
    public void zero(int space, long address, long pageCount) {
      calls.add("zero %d %x %d".formatted(space, address, pageCount));
    }

    @Override
    public void message(int type, byte[] bytes) {
      calls.add("message %d %s".formatted(type, HexFormat.of().formatHex(bytes)));
    }
  }

  /** What a capture would send, to a sink and to a recorder. */
  private static void send(PageSink sink, Recorder recorder) {
    var mm = mm_entry.newBuilder();
    for (var field : mm.getDescriptorForType().getFields()) {
      if (field.isRequired()) {
        mm.setField(
            field, field.getJavaType() == com.google.protobuf.Descriptors.FieldDescriptor.JavaType.INT ? (Object) 7 : (Object) 7L);
      }
    }
    var round =
        round_begin.newBuilder()
            .setRound(0)
            .setLast(true)
            .addProcesses(round_process.newBuilder().setPid(1).setPpid(0).setSpace(4).setForkFrom(0).setMm(mm))
            .addProcesses(round_process.newBuilder().setPid(12).setPpid(1).setSpace(5).setForkFrom(1).setMm(mm))
            .addShared(shared_memory.newBuilder().setSpace(6).setShmid(99).setSize(3 * PAGE));
    message(sink, recorder, StreamMessage.ROUND_BEGIN, round.build().toByteArray());
    var random = new Random(1);
    pages(sink, recorder, random, 4, new long[] {0x1000, 0x8000}, new int[] {2, 3});
    sink.zero(4, 0x40000, 5);
    recorder.zero(4, 0x40000, 5);
    message(sink, recorder, StreamMessage.FORK, fork_point.newBuilder().setPid(12).build().toByteArray());
    pages(sink, recorder, random, 5, new long[] {0x1000}, new int[] {1});
    pages(sink, recorder, random, 4, new long[] {0x100000}, new int[] {200});
    pages(sink, recorder, random, 6, new long[] {0}, new int[] {3});
    var descriptors =
        descriptors_entry.newBuilder()
            .addFile(file_entry.newBuilder().setType(fd_types.EVENTFD).setId(1))
            .addProcess(
                process_descriptors_entry.newBuilder()
                    .setPid(1)
                    .addFd(fdinfo_entry.newBuilder().setId(1).setFlags(0).setType(fd_types.EVENTFD).setFd(3)))
            .addProcess(process_descriptors_entry.newBuilder().setPid(12));
    message(sink, recorder, StreamMessage.DESCRIPTORS, descriptors.build().toByteArray());
    message(sink, recorder, StreamMessage.FINAL_STATE, state().toByteArray());
    message(sink, recorder, StreamMessage.END, new byte[] {1, 2, 3});
    sink.flush();
  }

  private static final_state state() {
    byte[] area = new byte[2696];
    new Random(5).nextBytes(area);
    var regs = user_x86_regs_entry.newBuilder();
    for (var field : regs.getDescriptorForType().getFields()) {
      if (field.isRequired()) {
        regs.setField(field, (long) field.getNumber());
      }
    }
    var fpregs =
        user_x86_fpregs_entry.newBuilder()
            .setCwd(1)
            .setSwd(2)
            .setTwd(3)
            .setFop(4)
            .setRip(5)
            .setRdp(6)
            .setMxcsr(7)
            .setMxcsrMask(8)
            .setXsaveArea(ByteString.copyFrom(area));
    var core =
        core_entry.newBuilder()
            .setMtype(core_entry.march.X86_64)
            .setThreadInfo(thread_info_x86.newBuilder().setClearTidAddr(9).setGpregs(regs).setFpregs(fpregs));
    var first = core.clone().setIds(task_kobj_ids_entry.newBuilder().setVmId(1).setFilesId(1).setFsId(1).setSighandId(1));
    return final_state.newBuilder()
        .addProcesses(
            process_state.newBuilder()
                .setTree(pstree_entry.newBuilder().setPid(1).setPpid(0).setPgid(1).setSid(1).addThreads(1).addThreads(2))
                .addThreads(first)
                .addThreads(core)
                .setFs(fs_entry.newBuilder().setCwdId(0).setRootId(0).setCwdPath("/tmp").setUmask(18)))
        .setUtsns(utsns_entry.newBuilder().setNodename("n").setDomainname("d"))
        .build();
  }

  private static void message(PageSink sink, Recorder recorder, int type, byte[] bytes) {
    sink.message(type, bytes);
    recorder.message(type, bytes);
  }

  private static void pages(PageSink sink, Recorder recorder, Random random, int space, long[] addresses, int[] counts) {
    byte[] content = new byte[Arrays.stream(counts).sum() * PAGE];
    random.nextBytes(content);
    sink.pages(
        space,
        addresses,
        counts,
        counts.length,
        (_, _, _, destination) -> MemorySegment.copy(content, 0, destination, ValueLayout.JAVA_BYTE, 0, content.length));
    recorder.pages(space, addresses, counts, counts.length, MemorySegment.ofArray(content));
  }

  private Recorder write(Path target) {
    var sent = new Recorder();
    try (var writer = ImageDirectoryWriter.create(target)) {
      send(writer, sent);
      assertThat(target).doesNotExist();
      writer.commit();
    }
    return sent;
  }

  @Test
  void receiverGetsWhatTheCaptureSent() {
    var target = directory.resolve("images");
    var sent = write(target);
    var received = new Recorder();
    var reader = ImageDirectoryReader.open(target);
    reader.feed(received);
    assertThat(received.calls).isEqualTo(sent.calls);
    assertThat(reader.state()).isEqualTo(state());
  }

  @Test
  void directoryIsLaidOutAsCriuDoes() throws IOException {
    var target = directory.resolve("images");
    write(target);
    try (var files = Files.list(target)) {
      assertThat(files.map(file -> file.getFileName().toString()))
          .containsExactlyInAnyOrder(
              "inventory.img", "pstree.img", "core-1.img", "core-2.img", "ids-1.img", "fs-1.img", "mm-1.img", "mm-12.img",
              "utsns-1.img", "pagemap-1.img", "pagemap-12.img", "pagemap-shmem-99.img", "pages-4.img", "pages-5.img",
              "pages-6.img", "files.img", "fdinfo-1.img", "fdinfo-12.img", "stream.img", "manifest.img");
    }
    var pstree = ByteBuffer.wrap(Files.readAllBytes(target.resolve("pstree.img"))).order(ByteOrder.LITTLE_ENDIAN);
    assertThat(pstree.getInt(0)).isEqualTo(0x54564319);
    assertThat(pstree.getInt(4)).isEqualTo(0x50273030);
    assertThat(Files.size(target.resolve("pages-4.img"))).isEqualTo(205 * PAGE);
    var core = ImageFile.CORE.readOne(target.resolve("core-1.img"), core_entry::parseFrom);
    assertThat(core.getThreadInfo().getFpregs().getXmmSpaceCount()).isEqualTo(64);
  }

  @Test
  void unfinishedDirectoryLeavesNothing() throws IOException {
    var target = directory.resolve("images");
    try (var writer = ImageDirectoryWriter.create(target)) {
      writer.message(StreamMessage.FORK, fork_point.newBuilder().setPid(1).build().toByteArray());
    }
    try (var files = Files.list(directory)) {
      assertThat(files).isEmpty();
    }
  }

  @Test
  void existingDirectoryIsNotTouched() throws IOException {
    var target = Files.createDirectory(directory.resolve("images"));
    assertThatThrownBy(() -> ImageDirectoryWriter.create(target))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("exists already");
  }

  @Test
  void everyFileThatIsMissingDamagedOrCutOffIsNamed() throws IOException {
    var target = directory.resolve("images");
    write(target);
    List<Path> files;
    try (var list = Files.list(target)) {
      files = list.sorted().toList();
    }
    for (Path file : files) {
      byte[] good = Files.readAllBytes(file);
      Files.delete(file);
      assertRefused(target, file);
      for (int at : new int[] {0, good.length / 2, good.length - 1}) {
        byte[] damaged = good.clone();
        damaged[at] ^= 0x10;
        Files.write(file, damaged);
        assertRefused(target, file);
      }
      Files.write(file, Arrays.copyOf(good, good.length - 1));
      assertRefused(target, file);
      Files.write(file, new byte[0]);
      assertRefused(target, file);
      Files.write(file, good);
      Files.write(file, new byte[] {0}, StandardOpenOption.APPEND);
      assertRefused(target, file);
      Files.write(file, good);
    }
    ImageDirectoryReader.open(target).feed(new Recorder());
  }

  private static void assertRefused(Path target, Path file) {
    assertThatThrownBy(() -> ImageDirectoryReader.open(target))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining(file.getFileName().toString());
  }

  @Test
  void foreignFileIsNamed() throws IOException {
    var target = directory.resolve("images");
    write(target);
    Files.write(target.resolve("extra.img"), new byte[] {1});
    assertThatThrownBy(() -> ImageDirectoryReader.open(target)).hasMessageContaining("extra.img");
  }

  @Test
  void directoryOfANewerVersionIsRefused() throws IOException {
    var target = Files.createDirectory(directory.resolve("images"));
    ImageManifest.write(target, ImageDirectoryWriter.FORMAT_VERSION + 1, List.of());
    assertThatThrownBy(() -> ImageDirectoryReader.open(target))
        .isInstanceOf(CheckpointException.class)
        .hasMessageContaining("newer Gantry");
  }

  @Test
  void somethingElseIsNoImageDirectory() {
    assertThatThrownBy(() -> ImageDirectoryReader.open(directory)).hasMessageContaining("is no image directory");
    assertThatThrownBy(() -> ImageDirectoryReader.open(directory.resolve("none"))).hasMessageContaining("is not a directory");
  }
}
