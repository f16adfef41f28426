/* Asks a SavedModel through TensorFlow's C API, without Python: ask DIR INPUT OUTPUT INDEX FILE N H W C, where INPUT
   and OUTPUT are operations of its graph and FILE holds uint8 pixels. Prints the numbers that come out. */
#include <stdio.h>
#include <stdlib.h>

#include "tensorflow/c/c_api.h"

static void check(TF_Status* status) {
  if (TF_GetCode(status) != TF_OK) {
    fprintf(stderr, "%s\n", TF_Message(status));
    exit(1);
  }
}

int main(int count, char** words) {
  if (count != 10) return 2;
  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(TF_NewSessionOptions(), NULL, words[1], tags, 1, graph, NULL, status);
  check(status);
  TF_Output input = {TF_GraphOperationByName(graph, words[2]), 0};
  TF_Output output = {TF_GraphOperationByName(graph, words[3]), atoi(words[4])};
  if (input.oper == NULL || output.oper == NULL) {
    fprintf(stderr, "no such operation\n");
    return 1;
  }
  int64_t shape[4];
  size_t bytes = 1;
  for (int axis = 0; axis < 4; axis++) bytes *= shape[axis] = atoll(words[6 + axis]);
  TF_Tensor* images = TF_AllocateTensor(TF_UINT8, shape, 4, bytes);
  FILE* file = fopen(words[5], "rb");
  if (file == NULL || fread(TF_TensorData(images), 1, bytes, file) != bytes) return 1;
  fclose(file);

  TF_Tensor* answer = NULL;
  TF_SessionRun(session, NULL, &input, &images, 1, &output, &answer, 1, NULL, 0, NULL, status);
  check(status);
  const float* values = TF_TensorData(answer);
  for (size_t index = 0; index < TF_TensorByteSize(answer) / sizeof(float); index++) printf("%.9g\n", values[index]);
  return 0;
}
