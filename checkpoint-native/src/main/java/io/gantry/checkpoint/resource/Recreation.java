package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.memfd_inode_entry;
import io.gantry.checkpoint.image.pipe_content_entry;
import io.gantry.checkpoint.image.process_descriptors_entry;
import io.gantry.checkpoint.image.reg_file_entry;
import io.gantry.checkpoint.linux.Fd;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;

/**
 * What is to be made and where it lies meanwhile: the plan that all kinds share while a container's descriptors
 * are recreated.
 */
final class Recreation implements AutoCloseable {
  private record Filling(pipe_content_entry content, StubDescriptors home, int writeSlot) {}

  /** Files that need one slot and nothing else. */
  private static final Set<fd_types> SIMPLE =
      EnumSet.of(fd_types.EVENTFD, fd_types.EVENTPOLL, fd_types.TIMERFD, fd_types.SIGNALFD, fd_types.INOTIFY, fd_types.FANOTIFY, fd_types.NS);

  private final descriptors_entry image;
  private final Map<Integer, file_entry> files = new LinkedHashMap<>();
  private final Map<Integer, FileKind> kinds = new HashMap<>();
  private final Map<String, List<file_entry>> groups = new LinkedHashMap<>();
  private final Map<Integer, Integer> slots = new HashMap<>();
  private final Map<String, Integer> sentSlots = new HashMap<>();
  private final Map<Integer, pipe_content_entry> pipes = new HashMap<>();
  private final Map<Integer, memfd_inode_entry> memoryFileEntries = new HashMap<>();
  private final Map<Integer, Integer> memoryFiles = new HashMap<>();
  private final Map<Integer, Integer> gone = new HashMap<>();
  private final List<Integer> ours = new ArrayList<>();
  private final List<Filling> fillings = new ArrayList<>();
  private final List<TcpRevival.Wanted> connections = new ArrayList<>();
  private final FileContentReceiver received;
  private final Map<FileIdentity, Integer> sharedObjects;
  private final int anyStub;
  private final Terminals terminals;
  private final int firstSlot;
  private final int slotLimit;
  private final UnixConnections unix;
  private final Collection<StubDescriptors> stubs;
  private int nextSlot;

  Recreation(
      descriptors_entry image,
      FileContentReceiver received,
      Map<FileIdentity, Integer> sharedObjects,
      Collection<StubDescriptors> stubs,
      Terminals terminals) {
    this.stubs = stubs;
    this.image = image;
    this.anyStub = stubs.stream().mapToInt(StubDescriptors::pid).findFirst().orElse(0);
    this.received = received;
    this.sharedObjects = sharedObjects;
    this.terminals = terminals;
    image.getFileList().forEach(file -> files.put(file.getId(), file));
    image.getPipeList().forEach(pipe -> pipes.put(pipe.getHeader().getPipeId(), pipe));
    image.getMemfdList().forEach(memfd -> memoryFileEntries.put((int) memfd.getInodeId(), memfd));
    for (var process : image.getProcessList()) {
      for (var descriptor : process.getFdList()) {
        add(descriptor.getId());
      }
    }
    // Files that only a message holds.
    for (var message : image.getQueueList()) {
      message.getHeader().getScmList().forEach(scm -> scm.getRightsList().forEach(this::add));
    }
    // Each file, both ends of each pipe, what is sent to each stub, and a few. Sets of thousands are of simple files, and numbers may be scarce.
    int slotCount = image.getProcessCount() * 2 + image.getQueueCount() * 2 + 16;
    for (int id : kinds.keySet()) {
      slotCount += SIMPLE.contains(files.get(id).getType()) ? 1 : 4;
    }
    firstSlot = gap(image, slotCount);
    slotLimit = firstSlot + slotCount;
    nextSlot = firstSlot;
    kinds.keySet().forEach(id -> slots.put(id, nextSlot++));
    unix = new UnixConnections(this);
  }

  private void add(int fileId) {
    var file = file(fileId);
    if (kinds.putIfAbsent(fileId, FileKinds.of(file)) == null) {
      groups.computeIfAbsent(kinds.get(fileId).group(file), group -> new ArrayList<>(2)).add(file);
    }
  }

  UnixConnections unix() {
    return unix;
  }

  Collection<StubDescriptors> stubs() {
    return stubs;
  }

  /** The lowest run of numbers that no process and no epoll instance uses, above those that are created at. */
  private static int gap(descriptors_entry image, int count) {
    var used = new TreeSet<Integer>();
    for (process_descriptors_entry process : image.getProcessList()) {
      process.getFdList().forEach(descriptor -> used.add(descriptor.getFd()));
    }
    image.getFileList().forEach(file -> file.getEpfd().getTfdList().forEach(target -> used.add(target.getTfd())));
    int from = 16;
    for (int number : used.tailSet(from)) {
      if (number - from >= count) {
        return from;
      }
      from = number + 1;
    }
    return from;
  }

  int firstSlot() {
    return firstSlot;
  }

  /** One more than the highest slot. */
  int slotLimit() {
    return slotLimit;
  }

  file_entry file(int id) {
    var file = files.get(id);
    if (file == null) {
      throw new CheckpointException("the image is damaged: it refers to open file " + id + ", which it does not describe");
    }
    return file;
  }

  /** The files that some process has, in the order in which they were first met. */
  List<file_entry> groupOf(file_entry file) {
    return groups.get(kind(file).group(file));
  }

  /** All groups: what has to be made together, in one stub. */
  Iterable<List<file_entry>> groups() {
    return groups.values();
  }

  FileKind kind(file_entry file) {
    return kinds.get(file.getId());
  }

  /** Where a file lies until it is put in place: the same number in every stub that has it. */
  int slot(int fileId) {
    var slot = slots.get(fileId);
    if (slot == null) {
      throw new CheckpointException("the image is damaged: open file " + fileId + " is watched, but no process has it open");
    }
    return slot;
  }

  int freshSlot() {
    if (nextSlot == slotLimit) {
      throw new IllegalStateException("more slots were needed than planned");
    }
    return nextSlot++;
  }

  Optional<pipe_content_entry> pipeContent(int pipeId) {
    return Optional.ofNullable(pipes.get(pipeId));
  }

  /** Puts a pipe's content in once the stub has made the pipe. */
  void fillPipeLater(int pipeId, StubDescriptors home, int writeSlot) {
    pipeContent(pipeId)
        .filter(content -> content.getSegmentCount() > 0)
        .ifPresent(content -> fillings.add(new Filling(content, home, writeSlot)));
  }

  void fillPipes() {
    for (var filling : fillings) {
      int writeEnd = filling.home.take(filling.writeSlot);
      try {
        Pipe.fill(filling.content, writeEnd);
      } finally {
        Fd.close(writeEnd);
      }
    }
  }

  /** Connects a TCP socket once the stubs have made all of them. */
  void connectLater(file_entry file, StubDescriptors home, OptionalInt spareSlot) {
    connections.add(new TcpRevival.Wanted(file.getIsk(), home, slot(file.getId()), spareSlot));
  }

  void connect() {
    if (!connections.isEmpty()) {
      TcpRevival.run(image, connections);
    }
  }

  /** Our descriptor of a deleted file whose content has come. */
  int receivedFile(FileIdentity identity, file_entry file) {
    return received.descriptor(identity, file.getReg());
  }

  /** Our descriptor of a file that lies outside the container. */
  int outsideFile(reg_file_entry entry) {
    return received.outside(entry);
  }

  /** Our descriptor of a directory that has no name any more. */
  int removedDirectory(reg_file_entry entry) {
    return received.directory(entry);
  }

  /** Our descriptor, open both ways, of a FIFO that has no name any more. */
  int removedFifo(reg_file_entry entry) {
    return received.fifo(entry);
  }

  /** Our descriptor of a memory file: the one that was made for its pages, or a new one. */
  int memoryFile(int inodeId) {
    return memoryFiles.computeIfAbsent(
        inodeId,
        id -> {
          var entry = memoryFileEntries.get(id);
          if (entry == null) {
            throw new CheckpointException("the image is damaged: memory file " + id + " is open but not described");
          }
          var made = sharedObjects.get(new FileIdentity(entry.getSourceDev(), entry.getSourceIno()));
          if (made != null) {
            return made;
          }
          int fresh = SharedObjects.create(entry);
          ours.add(fresh);
          return fresh;
        });
  }

  /** Our descriptor of a process that is gone; files that meant one process get descriptors of one. */
  int goneProcess(file_entry file) {
    if (!gone.containsKey(file.getId())) {
      long ino = file.getPidfd().getIno();
      var same = files.values().stream().filter(other -> other.hasPidfd() && other.getPidfd().getIno() == ino).toList();
      var descriptors = PidFd.ofGoneProcess(same, anyStub);
      ours.addAll(descriptors);
      for (int i = 0; i < same.size(); i++) {
        gone.put(same.get(i).getId(), descriptors.get(i));
      }
    }
    return gone.get(file.getId());
  }

  /** After every opening: final size and seals. */
  void sealMemoryFiles() {
    memoryFiles.forEach((id, fd) -> SharedObjects.seal(fd, memoryFileEntries.get(id)));
  }

  /** Where a file of ours that was sent to a stub lies there. */
  int sentSlot(file_entry file, StubDescriptors home) {
    return sentSlots.get(home.nsPid() + " " + kind(file).sends(file, this).orElseThrow());
  }

  /** Notes that a file of ours goes to a stub; returns the slot, or empty when it goes there already. */
  Optional<Integer> send(int ourFile, StubDescriptors home) {
    var key = home.nsPid() + " " + ourFile;
    if (sentSlots.containsKey(key)) {
      return Optional.empty();
    }
    int slot = freshSlot();
    sentSlots.put(key, slot);
    return Optional.of(slot);
  }

  Terminals terminals() {
    return terminals;
  }

  descriptors_entry image() {
    return image;
  }

  @Override
  public void close() {
    ours.forEach(Fd::close);
    ours.clear();
  }
}
