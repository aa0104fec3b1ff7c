package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.memfd_inode_entry;
import io.gantry.checkpoint.image.pipe_content_entry;
import io.gantry.checkpoint.image.process_descriptors_entry;
import io.gantry.checkpoint.linux.Fd;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/**
 * What is to be made and where it lies meanwhile: the plan that all kinds share while a container's descriptors
 * are recreated.
 */
final class Recreation implements AutoCloseable {
  private record Filling(pipe_content_entry content, StubDescriptors home, int writeSlot) {}

  private final descriptors_entry image;
  private final Map<Integer, file_entry> files = new LinkedHashMap<>();
  private final Map<Integer, FileKind> kinds = new HashMap<>();
  private final Map<String, List<file_entry>> groups = new LinkedHashMap<>();
  private final Map<Integer, Integer> slots = new HashMap<>();
  private final Map<String, Integer> sentSlots = new HashMap<>();
  private final Map<Integer, pipe_content_entry> pipes = new HashMap<>();
  private final Map<Integer, memfd_inode_entry> memoryFileEntries = new HashMap<>();
  private final Map<Integer, Integer> memoryFiles = new HashMap<>();
  private final List<Integer> ours = new ArrayList<>();
  private final List<Filling> fillings = new ArrayList<>();
  private final FileContentReceiver received;
  private final Map<FileIdentity, Integer> sharedObjects;
  private final int firstSlot;
  private final int slotLimit;
  private int nextSlot;

  Recreation(descriptors_entry image, FileContentReceiver received, Map<FileIdentity, Integer> sharedObjects) {
    this.image = image;
    this.received = received;
    this.sharedObjects = sharedObjects;
    image.getFileList().forEach(file -> files.put(file.getId(), file));
    image.getPipeList().forEach(pipe -> pipes.put(pipe.getHeader().getPipeId(), pipe));
    image.getMemfdList().forEach(memfd -> memoryFileEntries.put((int) memfd.getInodeId(), memfd));
    for (var process : image.getProcessList()) {
      for (var descriptor : process.getFdList()) {
        var file = file(descriptor.getId());
        if (kinds.putIfAbsent(file.getId(), FileKinds.of(file)) == null) {
          groups.computeIfAbsent(kinds.get(file.getId()).group(file), group -> new ArrayList<>(2)).add(file);
        }
      }
    }
    // Each file, both ends of each pipe, what is sent to each stub, and a few.
    int slotCount = kinds.size() * 4 + image.getProcessCount() + 16;
    firstSlot = gap(image, slotCount);
    slotLimit = firstSlot + slotCount;
    nextSlot = firstSlot;
    kinds.keySet().forEach(id -> slots.put(id, nextSlot++));
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

  /** Our descriptor of a deleted file whose content has come. */
  int receivedFile(FileIdentity identity, file_entry file) {
    return received.descriptor(identity, file.getReg());
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

  descriptors_entry image() {
    return image;
  }

  @Override
  public void close() {
    ours.forEach(Fd::close);
    ours.clear();
  }
}
