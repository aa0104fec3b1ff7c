package io.gantry.checkpoint.image;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.UnknownFieldSet;
import io.gantry.checkpoint.state.XsaveArea;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What was captured as CRIU's files: everything but the pages. They hold CRIU's fields only and say what CRIU can express; all of it is in
 * {@code stream.img}, too. Numbers of files that only memory or a working directory refers to are given here.
 */
final class CriuImages {
  /** {@code CRTOOLS_IMAGES_V1_1}. */
  private static final int IMAGES_VERSION = 2;
  /** Numbers of fields from here on are ours. */
  private static final int OWN_FIELDS = 1000;
  /** Above all numbers of open and of mapped files. */
  private static final int FIRST_FILE = 1 << 25;
  private static final int O_RDWR = 2;
  private static final int O_APPEND = 0x400;
  /** {@code ERESTART_RESTARTBLOCK} ({@code linux/errno.h}, the kernel's own): how to go on is known to the kernel alone. */
  private static final long RESTART_BLOCK = -516;
  private static final long EINTR = -4;
  /** {@code ERESTARTSYS}, {@code ERESTARTNOINTR} and {@code ERESTARTNOHAND}: the call is to be made again. */
  private static final long RESTART_FIRST = -512;
  private static final long RESTART_LAST = -514;
  private static final int SYSCALL_INSTRUCTION_BYTES = 2;
  private static final int NEVER_SEALED = 1;
  /** Namespaces are numbered; all processes of a tree are in those of the host. */
  private static final task_kobj_ids_entry NAMESPACES =
      task_kobj_ids_entry.newBuilder()
          .setVmId(Integer.MAX_VALUE)
          .setFilesId(Integer.MAX_VALUE)
          .setFsId(Integer.MAX_VALUE)
          .setSighandId(Integer.MAX_VALUE)
          .setPidNsId(4)
          .setNetNsId(2)
          .setIpcNsId(3)
          .setUtsNsId(1)
          .setTimeNsId(5)
          .setMntNsId(6)
          .setUserNsId(7)
          .setCgroupNsId(8)
          .build();

  private final Path directory;
  private final round_begin round;
  private final final_state state;
  private final descriptors_entry descriptors;
  private final List<file_entry> files = new ArrayList<>();
  private final Map<String, Integer> directories = new LinkedHashMap<>();
  private final List<memfd_inode_entry> memoryFiles = new ArrayList<>();
  private final Map<Long, Integer> memoryFileIds = new HashMap<>();
  private int nextFile = FIRST_FILE;

  private CriuImages(Path directory, round_begin round, final_state state, descriptors_entry descriptors) {
    this.directory = directory;
    this.round = round;
    this.state = state;
    this.descriptors = descriptors;
  }

  static void write(Path directory, round_begin round, final_state state, descriptors_entry descriptors) throws IOException {
    new CriuImages(directory, round, state, descriptors).write();
  }

  private void write() throws IOException {
    one(ImageFile.INVENTORY, ImageFile.INVENTORY.fileName(), inventory());
    openFiles();
    var dumpable = new HashMap<Integer, Integer>();
    state.getProcessesList().forEach(process -> dumpable.put(process.getTree().getPid(), dumpable(process)));
    for (round_process process : round.getProcessesList()) {
      var mm = VmaImages.forCriu(process.getMm(), dumpable.getOrDefault(process.getPid(), 1), this::memoryFile);
      one(ImageFile.MM, ImageFile.MM.fileName(process.getPid()), mm);
    }
    all(ImageFile.PSTREE, state.getProcessesList().stream().map(process_state::getTree).toList());
    for (process_state process : state.getProcessesList()) {
      process(process);
    }
    for (process_descriptors_entry process : descriptors.getProcessList()) {
      ImageFile.FDINFO.write(
          directory.resolve(ImageFile.FDINFO.fileName(process.getPid())), process.getFdList().stream().map(CriuImages::pure).toList());
    }
    all(ImageFile.FILES, files);
    if (!memoryFiles.isEmpty()) {
      all(ImageFile.MEMFD, memoryFiles);
    }
    contents();
    if (state.hasSeccomp()) {
      one(ImageFile.SECCOMP, ImageFile.SECCOMP.fileName(), state.getSeccomp());
    }
    if (state.hasUtsns()) {
      one(ImageFile.UTSNS, ImageFile.UTSNS.fileName(NAMESPACES.getUtsNsId()), state.getUtsns());
    }
  }

  private void one(ImageFile kind, String name, Message message) throws IOException {
    kind.write(directory.resolve(name), List.of(pure(message)));
  }

  private void all(ImageFile kind, List<? extends Message> messages) throws IOException {
    kind.write(directory.resolve(kind.fileName()), messages.stream().map(CriuImages::pure).toList());
  }

  /** Without our own fields. */
  static Message pure(Message message) {
    var pure = message.toBuilder().setUnknownFields(UnknownFieldSet.getDefaultInstance());
    for (FieldDescriptor field : message.getAllFields().keySet()) {
      if (field.getNumber() >= OWN_FIELDS) {
        pure.clearField(field);
      } else if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE && field.isRepeated()) {
        for (int i = 0; i < message.getRepeatedFieldCount(field); i++) {
          pure.setRepeatedField(field, i, pure((Message) message.getRepeatedField(field, i)));
        }
      } else if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
        pure.setField(field, pure((Message) message.getField(field)));
      }
    }
    return pure.buildPartial();
  }

  private static inventory_entry inventory() {
    return inventory_entry.newBuilder()
        .setImgVersion(IMAGES_VERSION)
        .setFdinfoPerId(true)
        .setNsPerId(true)
        .setLsmtype(0)
        .setRootIds(NAMESPACES)
        .build();
  }

  private static int dumpable(process_state process) {
    var core = process.getThreads(0).getTc();
    return core.hasDumpable() ? core.getDumpable() : 1;
  }

  private void process(process_state process) throws IOException {
    int pid = process.getTree().getPid();
    for (int i = 0; i < process.getThreadsCount(); i++) {
      one(ImageFile.CORE, ImageFile.CORE.fileName(process.getTree().getThreads(i)), core(process.getThreads(i)));
    }
    if (process.getThreads(0).hasIds()) {
      var own = process.getThreads(0).getIds();
      one(ImageFile.IDS, ImageFile.IDS.fileName(pid), NAMESPACES.toBuilder().mergeFrom(own).build());
    }
    if (process.hasFs()) {
      var fs = process.getFs();
      var entry = fs.toBuilder().setCwdId(directoryFile(fs.getCwdPath()));
      one(ImageFile.FS, ImageFile.FS.fileName(pid), entry.setRootId(directoryFile(fs.hasRootPath() ? fs.getRootPath() : "/")).build());
    }
  }

  private static core_entry core(core_entry core) {
    if (!core.hasThreadInfo()) {
      // A zombie.
      return core.toBuilder().clearIds().build();
    }
    var full = core.toBuilder().clearIds();
    if (core.getThreadInfo().getFpregs().hasXsaveArea()) {
      full.getThreadInfoBuilder().setFpregs(XsaveArea.expanded(core.getThreadInfo().getFpregs()));
    }
    if (core.getThreadInfo().getGpregs().getOrigAx() >= 0) {
      resumable(full.getThreadInfoBuilder().getGpregsBuilder());
    }
    return full.build();
  }

  /** CRIU's restored threads return from a signal, so the kernel does not continue interrupted calls for them. */
  private static void resumable(user_x86_regs_entry.Builder registers) {
    if (registers.getAx() == RESTART_BLOCK) {
      // As after a signal handler; with the time that was left only we can go on.
      registers.setAx(EINTR);
    } else if (registers.getAx() <= RESTART_FIRST && registers.getAx() >= RESTART_LAST) {
      registers.setAx(registers.getOrigAx()).setIp(registers.getIp() - SYSCALL_INSTRUCTION_BYTES);
    }
  }

  private void openFiles() {
    for (file_entry file : descriptors.getFileList()) {
      var entry = file.toBuilder();
      if (file.hasReg() && (file.getReg().getFlags() & O_APPEND) != 0) {
        // Others may make it longer; CRIU wants the size to be the very same.
        entry.getRegBuilder().clearSize();
      }
      files.add(entry.build());
    }
    round.getFilesList().forEach(file -> files.add(byPath(file.getId(), file.getName())));
    for (memfd_inode_entry inode : descriptors.getMemfdList()) {
      memoryFiles.add(inode.toBuilder().setShmid((int) inode.getSourceIno()).build());
    }
  }

  private static file_entry byPath(int id, String path) {
    var reg = reg_file_entry.newBuilder().setId(id).setFlags(0).setPos(0).setFown(nobody()).setName(path);
    return file_entry.newBuilder().setType(fd_types.REG).setId(id).setReg(reg).build();
  }

  private static fown_entry nobody() {
    return fown_entry.newBuilder().setUid(0).setEuid(0).setSignum(0).setPidType(0).setPid(0).build();
  }

  private int directoryFile(String path) {
    return directories.computeIfAbsent(
        path,
        name -> {
          files.add(byPath(nextFile, name));
          return nextFile++;
        });
  }

  /** An open file of the memory file with this inode number, which need not be open in any process. */
  private long memoryFile(long inodeNumber) {
    var known = memoryFileIds.get(inodeNumber);
    if (known == null) {
      known = addMemoryFile(inodeOf(inodeNumber));
      memoryFileIds.put(inodeNumber, known);
    }
    return known;
  }

  private int addMemoryFile(long inode) {
    int id = nextFile++;
    var memfd = memfd_file_entry.newBuilder().setId(id).setFlags(O_RDWR).setPos(0).setFown(nobody()).setInodeId((int) inode);
    files.add(file_entry.newBuilder().setType(fd_types.MEMFD).setId(id).setMemfd(memfd).build());
    return id;
  }

  private long inodeOf(long number) {
    for (memfd_inode_entry inode : memoryFiles) {
      if (inode.getShmid() == (int) number) {
        return inode.getInodeId();
      }
    }
    int id = nextFile++;
    for (shared_memory shared : round.getSharedList()) {
      if (shared.getShmid() == number) {
        memoryFiles.add(
            memfd_inode_entry.newBuilder()
                .setName(shared.getMemfdName())
                .setUid(0)
                .setGid(0)
                .setSize(shared.getSize())
                .setShmid((int) number)
                .setSeals(shared.hasSeals() ? shared.getSeals() : NEVER_SEALED)
                .setInodeId(id)
                .build());
      }
    }
    return id;
  }

  /** What lies in pipes and FIFOs, each behind its entry. */
  private void contents() throws IOException {
    var fifos = descriptors.getFileList().stream().filter(file_entry::hasFifo).map(file -> file.getFifo().getPipeId()).toList();
    var ofPipes = new ArrayList<pipe_content_entry>();
    var ofFifos = new ArrayList<pipe_content_entry>();
    descriptors.getPipeList().forEach(content -> (fifos.contains(content.getHeader().getPipeId()) ? ofFifos : ofPipes).add(content));
    contents(ImageFile.PIPES_DATA, ofPipes);
    contents(ImageFile.FIFO_DATA, ofFifos);
  }

  private void contents(ImageFile kind, List<pipe_content_entry> contents) throws IOException {
    if (!contents.isEmpty()) {
      kind.writeWithContent(
          directory.resolve(kind.fileName()), contents, pipe_content_entry::getHeader, pipe_content_entry::getSegmentList);
    }
  }
}
