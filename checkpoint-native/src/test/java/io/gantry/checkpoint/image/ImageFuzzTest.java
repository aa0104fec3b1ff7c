package io.gantry.checkpoint.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReceiver;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Whatever bytes a directory of images holds: an answer or a sentence, and no memory but what they themselves have. */
@Timeout(300)
class ImageFuzzTest {
  private static final long SEED = 20261126;
  private static final int ROUNDS = 400;
  private static final int PAGE = 4096;
  private static final long CODE = 0x400000;
  private static final long HEAP = 0x800000;
  private static final long SHARED = 0xa00000;

  @TempDir Path directory;

  /** Adds up how much memory it was shown. */
  private static final class Counter implements PageReceiver {
    private long bytes;
    private int messages;

    @Override
    public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {
      long said = 0;
      for (int run = 0; run < runCount; run++) {
        said += (long) pageCounts[run] * PAGE;
      }
      assertThat(data.byteSize()).isEqualTo(said);
      bytes += said;
    }

    @Override
    public void zero(int space, long address, long pageCount) {}

    @Override
    public void message(int type, byte[] message) {
      messages++;
    }
  }

  /** All required fields, zero. */
  private static <B extends Message.Builder> B zeroed(B builder) {
    for (FieldDescriptor field : builder.getDescriptorForType().getFields()) {
      if (field.isRequired() && !builder.hasField(field)) {
        builder.setField(
            field,
            switch (field.getJavaType()) {
              case INT -> 0;
              case LONG -> 0L;
              case STRING -> "";
              case BYTE_STRING -> ByteString.EMPTY;
              case MESSAGE -> zeroed(builder.newBuilderForField(field)).build();
              case ENUM -> field.getEnumType().getValues().getFirst();
              case BOOLEAN -> false;
              case FLOAT, DOUBLE -> 0.0;
            });
      }
    }
    return builder;
  }

  private static vma_entry vma(long start, int pages, long object, int flags, int status) {
    return zeroed(vma_entry.newBuilder()).setStart(start).setEnd(start + (long) pages * PAGE).setShmid(object).setProt(3).setFlags(flags)
        .setStatus(status).setFd(-1).build();
  }

  private static round_process process(int pid, int parent, int space) {
    var mm =
        zeroed(mm_entry.newBuilder())
            .setExeFileId(1 << 24)
            .addVmas(vma(CODE, 4, 1 << 24, 0x2, VmaStatus.REGULAR | VmaStatus.FILE_PRIVATE))
            .addVmas(vma(HEAP, 64, 0, 0x22, VmaStatus.REGULAR | VmaStatus.ANON_PRIVATE))
            .addVmas(vma(SHARED, 8, 77, 0x21, VmaStatus.REGULAR | VmaStatus.ANON_SHARED));
    return round_process.newBuilder().setPid(pid).setPpid(parent).setSpace(space).setForkFrom(parent).setMm(mm).build();
  }

  private static process_state state(int pid, int parent) {
    var core =
        zeroed(core_entry.newBuilder().setMtype(core_entry.march.X86_64))
            .setThreadInfo(zeroed(thread_info_x86.newBuilder()))
            .setTc(zeroed(task_core_entry.newBuilder()).setTaskState(1).setComm("fuzz"))
            .setThreadCore(zeroed(thread_core_entry.newBuilder()).setCreds(zeroed(creds_entry.newBuilder())))
            .setIds(task_kobj_ids_entry.newBuilder().setVmId(pid).setFilesId(pid).setFsId(pid).setSighandId(pid));
    return process_state.newBuilder()
        .setTree(pstree_entry.newBuilder().setPid(pid).setPpid(parent).setPgid(100).setSid(100).addThreads(pid))
        .addThreads(core)
        .setFs(fs_entry.newBuilder().setCwdId(0).setRootId(0).setCwdPath("/tmp").setRootPath("/"))
        .build();
  }

  private Path written() {
    var target = directory.resolve("images");
    try (var writer = ImageDirectoryWriter.create(target)) {
      for (int number = 0; number < 2; number++) {
        writer.message(StreamMessage.TREE_PLAN, tree_plan_entry.getDefaultInstance().toByteArray());
        var round =
            round_begin.newBuilder()
                .setRound(number)
                .setLast(number == 1)
                .addProcesses(process(100, 0, 1))
                .addProcesses(number == 0 ? process(101, 100, 2) : process(101, 100, 2).toBuilder().setForkFrom(0).build())
                .addShared(shared_memory.newBuilder().setSpace(3).setShmid(77).setSize(8 * PAGE))
                .addFiles(mapped_file.newBuilder().setId(1 << 24).setName("/bin/true"));
        writer.message(StreamMessage.ROUND_BEGIN, round.build().toByteArray());
        pages(writer, 1, HEAP + number * PAGE, 20);
        if (number == 0) {
          writer.message(StreamMessage.FORK, fork_point.newBuilder().setPid(101).build().toByteArray());
        }
        pages(writer, 2, HEAP + 5 * PAGE, 3);
        pages(writer, 3, 0, 8);
        writer.message(StreamMessage.ROUND_END, round_end.newBuilder().setRound(number).setDigest(ByteString.EMPTY).build().toByteArray());
      }
      var pipe = zeroed(pipe_entry.newBuilder()).setId(5).setPipeId(9);
      var content =
          pipe_content_entry.newBuilder()
              .setHeader(pipe_data_entry.newBuilder().setPipeId(9).setBytes(100).setSize(65536))
              .addSegment(ByteString.copyFrom(new byte[100]));
      writer.message(
          StreamMessage.DESCRIPTORS,
          descriptors_entry.newBuilder()
              .addFile(file_entry.newBuilder().setType(fd_types.PIPE).setId(5).setPipe(pipe))
              .addProcess(
                  process_descriptors_entry.newBuilder()
                      .setPid(100)
                      .addFd(fdinfo_entry.newBuilder().setId(5).setFlags(0).setType(fd_types.PIPE).setFd(3)))
              .addProcess(process_descriptors_entry.newBuilder().setPid(101))
              .addPipe(content)
              .build()
              .toByteArray());
      writer.message(
          StreamMessage.FINAL_STATE, final_state.newBuilder().addProcesses(state(100, 0)).addProcesses(state(101, 100)).build().toByteArray());
      writer.message(StreamMessage.END, end_entry.newBuilder().setDigest("").setVerify(false).build().toByteArray());
      writer.commit();
    }
    return target;
  }

  private static void pages(ImageDirectoryWriter writer, int space, long address, int count) {
    writer.pages(space, new long[] {address}, new int[] {count}, 1, (_, _, _, destination) -> destination.fill((byte) space));
  }

  private static List<Path> files(Path images) throws IOException {
    try (var all = Files.walk(images)) {
      return new ArrayList<>(all.filter(Files::isRegularFile).sorted().toList());
    }
  }

  /** Some other bytes than these. */
  private static byte[] damaged(byte[] good, Random random) {
    byte[] bytes = good.clone();
    switch (random.nextInt(5)) {
      case 0 -> {
        return Arrays.copyOf(bytes, bytes.length == 0 ? 1 : random.nextInt(bytes.length));
      }
      case 1 -> {
        return Arrays.copyOf(bytes, bytes.length + 1 + random.nextInt(16));
      }
      case 2 -> {
        for (int i = 0; i < 4 && bytes.length > 0; i++) {
          bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
        }
      }
      case 3 -> {
        for (int i = 0, at = bytes.length == 0 ? 0 : random.nextInt(bytes.length); i < 4 && at + i < bytes.length; i++) {
          bytes[at + i] = (byte) (random.nextBoolean() ? 0xff : 0x7f);
        }
      }
      default -> {
        if (bytes.length > 8) {
          int from = random.nextInt(bytes.length - 8);
          System.arraycopy(good, random.nextInt(bytes.length - 8), bytes, from, 8);
        }
      }
    }
    return bytes;
  }

  private static Counter read(Path images) {
    var counter = new Counter();
    var reader = ImageDirectoryReader.open(images);
    reader.state();
    reader.feed(counter);
    return counter;
  }

  /** @param sums whether there is a manifest, which then is made to fit: what it does not notice must be noticed otherwise */
  private static void fuzz(Path images, boolean sums) throws IOException {
    var random = new Random(SEED);
    var files = files(images);
    files.removeIf(file -> file.getFileName().toString().equals("manifest.img"));
    long longest = 0;
    for (int round = 0; round < ROUNDS; round++) {
      var file = files.get(random.nextInt(files.size()));
      byte[] good = Files.readAllBytes(file);
      byte[] bad = damaged(good, random);
      Files.write(file, bad);
      if (sums) {
        sums(images, files);
      }
      try {
        longest = Math.max(longest, read(images).bytes);
      } catch (CheckpointException sentence) {
        assertThat(sentence.getMessage()).isNotBlank();
      } catch (RuntimeException | Error other) {
        fail("round " + round + " of seed " + SEED + ", " + file.getFileName(), other);
      }
      Files.write(file, good);
    }
    assertThat(longest).isPositive().isLessThan(64 << 20);
    if (sums) {
      sums(images, files);
    }
    read(images);
  }

  private static void sums(Path images, List<Path> files) throws IOException {
    var sums = new ArrayList<image_file>();
    for (Path file : files) {
      byte[] bytes = Files.readAllBytes(file);
      var crc = new CRC32C();
      crc.update(bytes);
      sums.add(image_file.newBuilder().setName(images.relativize(file).toString()).setSize(bytes.length).setCrc32C((int) crc.getValue()).build());
    }
    ImageManifest.write(images, ImageDirectoryWriter.FORMAT_VERSION, sums);
  }

  @Test
  void ourDirectoryWithWrongBytesIsASentence() throws IOException {
    var images = written();
    assertThat(read(images).messages).isEqualTo(10);
    fuzz(images, true);
  }

  @Test
  void criusDirectoryWithWrongBytesIsASentence() throws IOException {
    var images = written();
    for (Path file : files(images)) {
      if (file.getFileName().toString().matches("(stream|manifest|utsns).*")) {
        Files.delete(file);
      }
    }
    var counter = read(images);
    // 21 pages of the first process, those that the second one has inherited and its own, and the shared ones.
    assertThat(counter.bytes).isEqualTo((21 + 20 + 8) * (long) PAGE);
    assertThat(ImageDirectoryReader.open(images).state().getProcessesCount()).isEqualTo(2);
    fuzz(images, false);
  }
}
