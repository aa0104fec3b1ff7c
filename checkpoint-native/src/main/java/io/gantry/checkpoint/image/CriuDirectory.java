package io.gantry.checkpoint.image;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.PageReceiver;
import io.gantry.checkpoint.image.ImageFile.Parser;
import io.gantry.checkpoint.state.TreeMember;
import io.gantry.checkpoint.state.TreePlan;
import io.gantry.checkpoint.state.TreePlanCodec;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * What {@code criu dump} wrote (images of version 1.1, so CRIU 1.5 and later), read as one round of a stream. CRIU keeps no sums, so
 * damage is noticed only where it makes a file senseless; what CRIU saves and we cannot carry is refused before anything is made. One
 * thread.
 */
final class CriuDirectory {
  /** {@code CRTOOLS_IMAGES_V1_1}. */
  private static final int IMAGES_VERSION = 2;
  /** Of no consequence for what is restored: figures, logs, cgroups (it stays in those of whoever restores), filters that no one uses. */
  private static final Pattern IGNORED =
      Pattern.compile("stats-(dump|restore)|.*\\.(log|pid)|cgroup\\.img|seccomp\\.img|timens-\\d+\\.img|irmap-cache.*|parent");
  private static final Pattern READ =
      Pattern.compile(
          "(inventory|pstree|files|pipes-data|fifo-data|memfd)\\.img|(core|ids|fs|mm|fdinfo|pagemap|pagemap-shmem|pages)-\\d+\\.img");

  /** For a look at whether all pages are where the indexes say. */
  private static final PageReceiver NOBODY =
      new PageReceiver() {
        @Override
        public void pages(int space, long[] addresses, int[] pageCounts, int runCount, MemorySegment data) {}

        @Override
        public void zero(int space, long address, long pageCount) {}

        @Override
        public void message(int type, byte[] bytes) {}
      };

  private final Path directory;
  private final inventory_entry inventory;
  private final List<pstree_entry> tree;
  private final Map<Integer, task_kobj_ids_entry> ids = new HashMap<>();
  private final Map<Integer, Integer> spaces = new LinkedHashMap<>();
  private final CriuFiles files;
  private final final_state state;
  private final round_begin round;
  private final TreePlan plan;
  private final descriptors_entry descriptors;

  private CriuDirectory(Path directory) {
    this.directory = directory;
    checkNames();
    inventory = one(ImageFile.INVENTORY, ImageFile.INVENTORY.fileName(), inventory_entry::parseFrom);
    if (inventory.getImgVersion() != IMAGES_VERSION) {
      throw new CheckpointException(
          directory + " has CRIU images of version " + inventory.getImgVersion() + ", and this Gantry understands version "
              + IMAGES_VERSION + "; dump the processes again with another CRIU");
    }
    tree = all(ImageFile.PSTREE, pstree_entry::parseFrom);
    if (tree.isEmpty()) {
      throw new CheckpointException(directory + " holds no process");
    }
    files = new CriuFiles(directory);
    var processes = processes();
    state = final_state.newBuilder().addAllProcesses(processes).build();
    plan =
        TreePlan.complete(
            processes.stream()
                .map(process -> TreeMember.of(process.getTree(), CriuStates.hasEnded(process.getThreads(0))))
                .toList());
    round = round();
    descriptors = descriptors();
  }

  /** Whether it looks like one of CRIU's and not like ours. */
  static boolean is(Path directory) {
    return Files.exists(directory.resolve(ImageFile.INVENTORY.fileName()))
        && !Files.exists(directory.resolve(ImageFile.STREAM.fileName()))
        && !Files.exists(directory.resolve(ImageFile.MANIFEST.fileName()));
  }

  static CriuDirectory open(Path directory) {
    try {
      var opened = new CriuDirectory(directory);
      opened.pages(NOBODY);
      return opened;
    } catch (IOException e) {
      throw new CheckpointException("reading " + directory + " failed: " + e, e);
    } catch (IllegalArgumentException | IllegalStateException | IndexOutOfBoundsException | ArithmeticException senseless) {
      throw new CheckpointException(
          directory + " holds images that make no sense together; it is damaged: " + senseless.getMessage(), senseless);
    }
  }

  private void checkNames() {
    try (var list = Files.list(directory)) {
      var unknown =
          list.map(file -> file.getFileName().toString())
              .filter(name -> !IGNORED.matcher(name).matches() && !READ.matcher(name).matches())
              .sorted()
              .toList();
      if (!unknown.isEmpty()) {
        throw new CheckpointException(
            directory + " holds state that cannot be carried from CRIU's images: " + String.join(", ", unknown)
                + "; restore it with CRIU");
      }
    } catch (IOException e) {
      throw new CheckpointException("reading " + directory + " failed: " + e, e);
    }
  }

  private <T extends Message> List<T> all(ImageFile kind, Parser<T> parser) {
    return CriuFields.check(directory.resolve(kind.fileName()), kind.read(directory.resolve(kind.fileName()), parser));
  }

  private <T extends Message> T one(ImageFile kind, String name, Parser<T> parser) {
    return CriuFields.check(directory.resolve(name), List.of(kind.readOne(directory.resolve(name), parser))).getFirst();
  }

  private List<process_state> processes() {
    var found = new ArrayList<process_state>();
    for (pstree_entry entry : tree) {
      int pid = entry.getPid();
      var threads = entry.getThreadsList().isEmpty() ? List.of(pid) : entry.getThreadsList();
      var cores = new ArrayList<core_entry>();
      for (int tid : threads) {
        cores.add(one(ImageFile.CORE, ImageFile.CORE.fileName(tid), core_entry::parseFrom));
      }
      var process = process_state.newBuilder().setTree(entry.toBuilder().clearThreads().addAllThreads(threads));
      if (CriuStates.hasEnded(cores.getFirst())) {
        found.add(process.addThreads(cores.getFirst()).build());
        continue;
      }
      var own = one(ImageFile.IDS, ImageFile.IDS.fileName(pid), task_kobj_ids_entry::parseFrom);
      CriuStates.checkNamespaces(pid, own, inventory.getRootIds(), ids.values());
      ids.put(pid, own);
      spaces.put(pid, spaces.size() + 1);
      var mm = mm(pid);
      for (int i = 0; i < cores.size(); i++) {
        process.addThreads(CriuStates.thread(pid, cores.get(i), cores.getFirst(), mm, i == 0));
      }
      found.add(process.setFs(fs(pid)).build());
    }
    return found;
  }

  private mm_entry mm(int pid) {
    return one(ImageFile.MM, ImageFile.MM.fileName(pid), mm_entry::parseFrom);
  }

  private fs_entry fs(int pid) {
    var fs = one(ImageFile.FS, ImageFile.FS.fileName(pid), fs_entry::parseFrom);
    return fs_entry.newBuilder()
        .setCwdId(0)
        .setRootId(0)
        .setUmask(fs.getUmask())
        .setCwdPath(files.path(fs.getCwdId()))
        .setRootPath(files.path(fs.getRootId()))
        .build();
  }

  /** Every stub is cloned from another one before that has any pages, so nothing is inherited. */
  private round_begin round() {
    var begin = round_begin.newBuilder().setRound(0).setLast(true);
    var origins = plan.origins();
    var order = new ArrayList<Integer>();
    spaces.keySet().stream().filter(pid -> !origins.containsKey(pid)).forEach(order::add);
    origins.keySet().stream().filter(spaces::containsKey).forEach(order::add);
    var parents = new HashMap<Integer, Integer>();
    tree.forEach(entry -> parents.put(entry.getPid(), entry.getPpid()));
    for (int pid : order) {
      begin.addProcesses(
          round_process.newBuilder()
              .setPid(pid)
              .setPpid(parents.get(pid))
              .setSpace(spaces.get(pid))
              .setForkFrom(origins.getOrDefault(pid, 0))
              .setMm(files.memory(pid, mm(pid))));
    }
    begin.addAllShared(files.shared(spaces.size() + 1));
    begin.addAllFiles(files.mapped());
    return begin.build();
  }

  private descriptors_entry descriptors() {
    var found = descriptors_entry.newBuilder();
    for (int pid : spaces.keySet()) {
      var name = ImageFile.FDINFO.fileName(ids.get(pid).getFilesId());
      var entries =
          CriuFields.check(
              directory.resolve(name), ImageFile.FDINFO.read(directory.resolve(name), fdinfo_entry::parseFrom));
      found.addProcess(process_descriptors_entry.newBuilder().setPid(pid).addAllFd(CriuFiles.byNumber(entries)));
    }
    files.addOpen(found);
    return found.build();
  }

  final_state state() {
    return state;
  }

  /** Calls the receiver for everything, in the order of a stream. */
  void feed(PageReceiver receiver) throws IOException, InvalidProtocolBufferException {
    receiver.message(StreamMessage.TREE_PLAN, TreePlanCodec.encode(plan.steps()).toByteArray());
    receiver.message(StreamMessage.ROUND_BEGIN, round.toByteArray());
    for (round_process process : round.getProcessesList()) {
      if (process.getForkFrom() != 0) {
        receiver.message(StreamMessage.FORK, fork_point.newBuilder().setPid(process.getPid()).build().toByteArray());
      }
    }
    pages(receiver);
    receiver.message(StreamMessage.ROUND_END, round_end.newBuilder().setRound(0).setDigest(ByteString.EMPTY).build().toByteArray());
    receiver.message(StreamMessage.DESCRIPTORS, descriptors.toByteArray());
    receiver.message(StreamMessage.FINAL_STATE, state.toByteArray());
    receiver.message(StreamMessage.END, end_entry.newBuilder().setDigest("").setVerify(false).build().toByteArray());
  }

  private void pages(PageReceiver receiver) throws IOException {
    for (round_process process : round.getProcessesList()) {
      var vdso = VmaImages.vdso(process.getMm()).orElse(vma_entry.getDefaultInstance());
      CriuPages.feed(directory, ImageFile.PAGEMAP.fileName(process.getPid()), process.getSpace(), vdso, receiver);
    }
    for (shared_memory shared : round.getSharedList()) {
      CriuPages.feed(directory, "pagemap-shmem-" + shared.getShmid() + ".img", shared.getSpace(), vma_entry.getDefaultInstance(), receiver);
    }
  }
}
