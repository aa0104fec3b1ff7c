package io.gantry.checkpoint.image;

import java.io.IOException;
import java.nio.file.Path;

/** Open files as CRIU's files: {@code files.img}, and {@code fdinfo-PID}. */
final class DescriptorImages {
  private DescriptorImages() {}

  static void write(Path directory, descriptors_entry descriptors) throws IOException {
    ImageFile.FILES.write(directory.resolve(ImageFile.FILES.fileName()), descriptors.getFileList());
    for (process_descriptors_entry process : descriptors.getProcessList()) {
      ImageFile.FDINFO.write(directory.resolve(ImageFile.FDINFO.fileName(process.getPid())), process.getFdList());
    }
  }

  /** What is left of the message when all that has files of its own is taken out. */
  static descriptors_entry rest(descriptors_entry descriptors) {
    var rest = descriptors.toBuilder().clearFile();
    rest.getProcessBuilderList().forEach(process_descriptors_entry.Builder::clearFd);
    return rest.build();
  }

  /** Puts the message together again. */
  static descriptors_entry read(Path directory, descriptors_entry rest) {
    var descriptors = rest.toBuilder();
    descriptors.addAllFile(ImageFile.FILES.read(directory.resolve(ImageFile.FILES.fileName()), file_entry::parseFrom));
    for (process_descriptors_entry.Builder process : descriptors.getProcessBuilderList()) {
      var file = directory.resolve(ImageFile.FDINFO.fileName(process.getPid()));
      process.addAllFd(ImageFile.FDINFO.read(file, fdinfo_entry::parseFrom));
    }
    return descriptors.build();
  }
}
